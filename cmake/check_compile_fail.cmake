# Compiles FILE as COMPILE_WITH says, and holds it to what its first lines say:
#   // EXPECT: text   it must not compile, and every such text must be in what the compiler prints
#   // WARN: text     under g++ before 13 it must compile with a warning of this text;
#                     under any other compiler it must compile without a warning
# PRECOMPILED, if not empty: where precompile.cmake has put the header.
cmake_minimum_required(VERSION 3.25)
include(${COMPILE_WITH})
file(READ ${FILE} source)
string(REGEX MATCH "^// (EXPECT|WARN): " kind "${source}")
set(kind ${CMAKE_MATCH_1})
if(NOT kind)
  message(FATAL_ERROR "${FILE}: line 1 must be `// EXPECT: text` or `// WARN: text`")
endif()

if(PRECOMPILED)
  list(PREPEND flags -Winvalid-pch "-I${PRECOMPILED}")
endif()

set(warns FALSE)
if(kind STREQUAL WARN AND compiler_id STREQUAL GNU AND compiler_version VERSION_LESS 13)
  set(warns TRUE)
endif()
set(strict)
if(kind STREQUAL WARN AND NOT warns)
  set(strict -Wall -Wextra -Werror)
endif()
execute_process(COMMAND ${compiler} ${flags} ${strict} -fsyntax-only ${FILE}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)

if(kind STREQUAL EXPECT AND result EQUAL 0)
  message(FATAL_ERROR "it compiled, but must not")
elseif(kind STREQUAL WARN AND NOT result EQUAL 0)
  message(FATAL_ERROR "it must compile, but:\n${output}")
endif()

set(rest "${source}")
while((kind STREQUAL EXPECT OR warns) AND rest MATCHES "^// ${kind}: ([^\n]*)\n")
  set(text "${CMAKE_MATCH_1}")
  string(FIND "${output}" "${text}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "the compiler does not say\n  ${text}\nbut:\n${output}")
  endif()
  string(FIND "${rest}" "\n" at)
  math(EXPR at "${at} + 1")
  string(SUBSTRING "${rest}" ${at} -1 rest)
endwhile()
