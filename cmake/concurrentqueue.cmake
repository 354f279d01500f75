# concurrentqueue::concurrentqueue: installed, or downloaded and checked against its hash.
find_package(concurrentqueue MODULE QUIET)
if(NOT concurrentqueue_FOUND)
  if(NOT POSTHASTE_FETCH_DEPS)
    find_package(concurrentqueue MODULE REQUIRED)  # says what to install
  endif()
  include(FetchContent)
  FetchContent_Declare(concurrentqueue
    URL https://github.com/cameron314/concurrentqueue/archive/refs/tags/v1.0.5.tar.gz
    URL_HASH SHA256=4d6368a27492d86011fde5ca0cf386dce7c49cd425aa3d9b063ca6ec373a6ef3
    DOWNLOAD_EXTRACT_TIMESTAMP FALSE
    SOURCE_SUBDIR _none_)  # its CMakeLists.txt would include(CPack)
  FetchContent_MakeAvailable(concurrentqueue)
  # the layout every package manager has, so that <moodycamel/...> wins over a copy in the system
  configure_file("${concurrentqueue_SOURCE_DIR}/concurrentqueue.h"
    "${CMAKE_CURRENT_BINARY_DIR}/concurrentqueue/moodycamel/concurrentqueue.h" COPYONLY)
  add_library(concurrentqueue::concurrentqueue INTERFACE IMPORTED GLOBAL)  # so in no export set
  target_include_directories(concurrentqueue::concurrentqueue
    INTERFACE "${CMAKE_CURRENT_BINARY_DIR}/concurrentqueue")
endif()
