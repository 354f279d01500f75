# posthaste_catch2: Catch2 with a main, version 3 or 2, installed or downloaded; and how to discover.
find_package(Catch2 QUIET)
if(NOT Catch2_FOUND)
  if(NOT POSTHASTE_FETCH_DEPS)
    find_package(Catch2 REQUIRED)
  endif()
  include(FetchContent)
  FetchContent_Declare(Catch2
    URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
    URL_HASH SHA256=c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c
    DOWNLOAD_EXTRACT_TIMESTAMP FALSE)
  FetchContent_MakeAvailable(Catch2)
  list(APPEND CMAKE_MODULE_PATH "${Catch2_SOURCE_DIR}/extras")
endif()
include(Catch)

# Version 2 is compiled here rather than linked: a prebuilt library is of one compiler's std library.
if(Catch2_VERSION AND Catch2_VERSION VERSION_LESS 3)
  file(CONFIGURE OUTPUT catch_main.cpp
    CONTENT "#define CATCH_CONFIG_MAIN\n#include <catch2/catch.hpp>\n")
  add_library(posthaste_catch2 STATIC "${CMAKE_CURRENT_BINARY_DIR}/catch_main.cpp")
  target_link_libraries(posthaste_catch2 PUBLIC Catch2::Catch2)
  target_compile_features(posthaste_catch2 PRIVATE cxx_std_20)  # as the tests: string_view
  target_compile_options(posthaste_catch2 PRIVATE ${POSTHASTE_UNIT_TEST_FLAGS})
  # version 2 is content when a name matches no test
  set(posthaste_catch2_arguments EXTRA_ARGS --warn NoTests)
else()
  add_library(posthaste_catch2 INTERFACE)
  target_link_libraries(posthaste_catch2 INTERFACE Catch2::Catch2WithMain)
  set(posthaste_catch2_arguments DISCOVERY_MODE PRE_TEST)
endif()
