# posthaste_warnings: for our own tests, examples and benchmarks only; users choose their own.
add_library(posthaste_warnings INTERFACE)
if(MSVC)
  target_compile_options(posthaste_warnings INTERFACE /W4 /WX /permissive-)
else()
  target_compile_options(posthaste_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
  # g++ 12 and later warn that TSan does not model a fence; the queue has some
  target_compile_options(posthaste_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
endif()
