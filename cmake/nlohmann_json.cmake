# nlohmann_json::nlohmann_json, for examples: installed, or downloaded and checked against its hash.
find_package(nlohmann_json QUIET)
if(NOT TARGET nlohmann_json::nlohmann_json)
  if(NOT POSTHASTE_FETCH_DEPS)
    find_package(nlohmann_json REQUIRED)
  endif()
  include(FetchContent)
  FetchContent_Declare(nlohmann_json
    URL https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
    URL_HASH SHA256=d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d
    DOWNLOAD_EXTRACT_TIMESTAMP FALSE)
  FetchContent_MakeAvailable(nlohmann_json)
endif()
