# For scripts that change a copy of the headers and see whether a test program notices. They set
# INCLUDE, DIR and FILE, and have included COMPILE_WITH; SANITIZE=thread or address adds that.
set(mutated ${DIR}/include)
# they come first on the include path, before the real headers
list(PREPEND flags "-I${mutated}" -O1 -DPOSTHASTE_COUNT_FRAMES)
list(APPEND flags -pthread)
if(SANITIZE)
  find_program(clang NAMES clang++-19)  # the one whose sanitizers work best, if it is here
  if(clang)
    set(compiler ${clang})
  endif()
  list(APPEND flags -fsanitize=${SANITIZE} -g1)
  if(SANITIZE STREQUAL thread)
    list(APPEND flags -DPOSTHASTE_MUTEX_QUEUE=1)
  endif()
endif()

function(copy_headers)
  file(REMOVE_RECURSE ${DIR})
  file(COPY ${INCLUDE}/posthaste DESTINATION ${mutated})
endfunction()

# Does FILE, compiled with the copy, return 0? An error if it does not compile, or gives no answer.
function(program_passes variable)
  execute_process(COMMAND ${compiler} ${flags} ${FILE} -o ${DIR}/program
    RESULT_VARIABLE failed ERROR_VARIABLE said)
  if(failed)
    message(FATAL_ERROR "it does not compile:\n${said}")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "TSAN_OPTIONS=halt_on_error=1" ${DIR}/program
    RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE also TIMEOUT 90)
  if(failed MATCHES "timeout")
    message(FATAL_ERROR "no answer in time")
  endif()
  file(WRITE ${DIR}/said.txt "${said}${also}")
  if(failed)
    set(${variable} FALSE PARENT_SCOPE)
  else()
    set(${variable} TRUE PARENT_SCOPE)
  endif()
endfunction()
