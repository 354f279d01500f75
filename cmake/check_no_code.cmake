# A file that includes every header and uses none makes no code and no data of ours: no function that
# is not inline, and no class whose virtual functions are put wherever it is included, as they are if
# the first that is not inline in the class is defined below it.
#   cmake -DCOMPILE_WITH=<file> -DINCLUDE=<dir> -DNM=<nm> -DDIR=<scratch> -P cmake/check_no_code.cmake
cmake_minimum_required(VERSION 3.25)
include(${COMPILE_WITH})
file(GLOB_RECURSE headers RELATIVE ${INCLUDE} ${INCLUDE}/posthaste/*.hpp)
set(text "")
foreach(header IN LISTS headers)
  string(APPEND text "#include <${header}>\n")
endforeach()
# one symbol that must be there: nm reads what this compiler writes
file(WRITE ${DIR}/all.cpp "${text}namespace posthaste {\nvoid is_seen();\nvoid is_seen() {}\n}\n")
execute_process(COMMAND ${compiler} ${flags} -O0 -c ${DIR}/all.cpp -o ${DIR}/all.o
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NM} -C ${DIR}/all.o OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]*posthaste[^\n]*" ours "${symbols}")
if(NOT ours MATCHES "^[^;]* posthaste::is_seen\\(\\)$")
  list(JOIN ours "\n  " ours)
  message(FATAL_ERROR "of ours there must be is_seen() and nothing else, but there are\n  ${ours}")
endif()
list(LENGTH headers count)
message(STATUS "${count} headers make no code")
