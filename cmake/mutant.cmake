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

# Does FILE, compiled with the copy, return 0, up to TIMES times? If not, `attempt` says which one it
# was. An error if it does not compile, or gives no answer.
function(program_passes variable times)
  execute_process(COMMAND ${compiler} ${flags} ${FILE} -o ${DIR}/program
    RESULT_VARIABLE failed ERROR_VARIABLE said)
  if(failed)
    message(FATAL_ERROR "it does not compile:\n${said}")
  endif()
  set(${variable} TRUE PARENT_SCOPE)
  foreach(time RANGE 1 ${times})
    execute_process(COMMAND ${CMAKE_COMMAND} -E env "TSAN_OPTIONS=halt_on_error=1" ${DIR}/program
      RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE also TIMEOUT 90)
    if(failed MATCHES "timeout")
      message(FATAL_ERROR "no answer in time")
    endif()
    file(WRITE ${DIR}/said.txt "${said}${also}")
    if(failed)
      set(${variable} FALSE PARENT_SCOPE)
      set(attempt ${time} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# An explorer finds a bug each time; a race only now and then, and what it says counts only if it
# says nothing of the headers as they are.
set(attempts 1)
if(FILE MATCHES "_race.cpp$")
  set(attempts 60)
endif()
function(check_unchanged)
  if(NOT SANITIZE)
    return()
  endif()
  program_passes(right 1)
  if(NOT right)
    file(READ ${DIR}/said.txt said)
    if(said MATCHES "unexpected memory mapping")  # an old ThreadSanitizer on a new kernel
      message(STATUS "skipped: the sanitizer does not run here")
      set(skipped TRUE PARENT_SCOPE)
    else()
      message(FATAL_ERROR "it fails without a bug:\n${said}")
    endif()
  endif()
endfunction()
