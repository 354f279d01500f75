# One name, concurrentqueue::concurrentqueue, for every way moodycamel::ConcurrentQueue is shipped:
#   a config package       upstream `cmake --install` (>= 1.0.4), vcpkg, Homebrew, Conan's CMakeDeps
#   headers only           Debian's libconcurrentqueue-dev, upstream 1.0.3, a plain copy
#   target concurrentqueue a parent project's add_subdirectory or FetchContent
# Used by our own build and, installed beside posthaste-config.cmake, by those who use us.
# It never asks for a version: upstream's config says 1.0.0 whatever the release.
if(TARGET concurrentqueue::concurrentqueue)
  set(concurrentqueue_FOUND TRUE)
  return()
endif()
if(TARGET concurrentqueue)
  # Not an ALIAS, which install(EXPORT) would follow and demand `concurrentqueue` in our export set.
  # Its headers are at the top, and <concurrentqueue/concurrentqueue.h> may be another version's,
  # the system's: so say which one is meant.
  add_library(concurrentqueue::concurrentqueue INTERFACE IMPORTED GLOBAL)
  target_link_libraries(concurrentqueue::concurrentqueue INTERFACE concurrentqueue)
  target_compile_definitions(concurrentqueue::concurrentqueue
    INTERFACE "POSTHASTE_CONCURRENTQUEUE_HEADER=<concurrentqueue.h>")
  set(concurrentqueue_FOUND TRUE)
  return()
endif()

include(FindPackageHandleStandardArgs)
find_package(concurrentqueue CONFIG QUIET)
if(concurrentqueue_FOUND AND TARGET concurrentqueue::concurrentqueue)
  find_package_handle_standard_args(concurrentqueue CONFIG_MODE)
  return()
endif()

# The directory in which one of the spellings that detail/concurrentqueue.hpp tries will work.
find_path(concurrentqueue_INCLUDE_DIR
  NAMES moodycamel/concurrentqueue.h
        concurrentqueue/moodycamel/concurrentqueue.h
        concurrentqueue/concurrentqueue.h
        concurrentqueue.h
  DOC "Directory with moodycamel's concurrentqueue headers")
mark_as_advanced(concurrentqueue_INCLUDE_DIR)
find_package_handle_standard_args(concurrentqueue
  REQUIRED_VARS concurrentqueue_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install it (apt: libconcurrentqueue-dev | brew, vcpkg, Conan: concurrentqueue), or set concurrentqueue_INCLUDE_DIR")
if(concurrentqueue_FOUND)
  add_library(concurrentqueue::concurrentqueue INTERFACE IMPORTED GLOBAL)
  set_target_properties(concurrentqueue::concurrentqueue PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${concurrentqueue_INCLUDE_DIR}")
endif()
