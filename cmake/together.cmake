# Files that are compiled several at a time: what they share is compiled, and instantiated, once for
# all of these, so that all of them are built in half the processor time and less. Each is in a
# namespace of its own, so each is as it was; what it includes comes first, once for all, precompiled.
# To work on one of them: -DPOSTHASTE_TOGETHER=OFF.
option(POSTHASTE_TOGETHER "Compile tests several at a time" ON)
if(CMAKE_DISABLE_PRECOMPILE_HEADERS)
  set(POSTHASTE_TOGETHER OFF)
endif()

# posthaste_together(<target> <how many> <file>...): has the target, which exists, made of these.
# A file that specialises a template of std must be added by itself.
function(posthaste_together target size)
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/${target}_together")
  set(included "#include <posthaste/posthaste.hpp>")
  set(batch 0)
  set(content)
  foreach(file IN LISTS ARGN)
    get_filename_component(own_dir ${file} DIRECTORY)
    file(STRINGS ${file} lines REGEX "^#include [<\"]")
    list(TRANSFORM lines REPLACE "#include \"" "#include \"${own_dir}/")
    list(APPEND included ${lines})
    posthaste_namespace(name ${file})
    string(APPEND content "namespace ${name} {\n#include \"${file}\"\n}\n")
    math(EXPR batch "${batch} + 1")
    math(EXPR full "${batch} % ${size}")
    if(full EQUAL 0)
      file(CONFIGURE OUTPUT ${dir}/${batch}.cpp CONTENT "${content}" @ONLY)
      target_sources(${target} PRIVATE ${dir}/${batch}.cpp)
      set(content)
    endif()
  endforeach()
  if(content)
    file(CONFIGURE OUTPUT ${dir}/${batch}.cpp CONTENT "${content}" @ONLY)
    target_sources(${target} PRIVATE ${dir}/${batch}.cpp)
  endif()
  list(REMOVE_DUPLICATES included)
  list(JOIN included "\n" included)
  # a file of ours: CMake's own would be as old as CMakeLists.txt, whatever is in it
  file(CONFIGURE OUTPUT ${dir}/included.hpp CONTENT "${included}\n" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
  target_precompile_headers(${target} PRIVATE ${dir}/included.hpp)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ takes what is included for a header, where an unnamed namespace would be a mistake
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
endfunction()

# posthaste_programs(<target> <file>...): one program that is all of these, each with a main() of its
# own: `<target> order 1000` runs that of order*.cpp.
function(posthaste_programs target)
  set(declared)
  set(table)
  foreach(file IN LISTS ARGN)
    posthaste_namespace(name ${file})
    get_filename_component(stem ${file} NAME_WE)
    file(STRINGS ${file} main REGEX "^int main\\(\\)" LIMIT_COUNT 1)
    if(main)
      string(APPEND declared "namespace ${name} { int main(); }\n")
      string(APPEND table "    {\"${stem}\", [](int, char**) { return ${name}::main(); }},\n")
    else()
      string(APPEND declared "namespace ${name} { int main(int, char**); }\n")
      string(APPEND table "    {\"${stem}\", &${name}::main},\n")
    endif()
  endforeach()
  set(main "${CMAKE_CURRENT_BINARY_DIR}/${target}_together/main.cpp")
  file(CONFIGURE OUTPUT ${main} @ONLY CONTENT "#include <cstdio>
#include <cstring>

${declared}
int main(int argc, char** argv) {
    constexpr struct {
        const char* name;
        int (*main)(int, char**);
    } programs[] = {
${table}    };
    for (const auto& p : programs)
        if (argc > 1 && std::strcmp(argv[1], p.name) == 0) return p.main(argc - 1, argv + 1);
    for (const auto& p : programs) std::printf(\"%s %s\\n\", argv[0], p.name);
    return 2;
}
")
  add_executable(${target} ${main})
  target_link_libraries(${target} PRIVATE posthaste::posthaste posthaste_warnings)
  posthaste_together(${target} 10 ${ARGN})
endfunction()

function(posthaste_namespace out file)
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${file})
  string(REGEX REPLACE "\\.cpp$" "" name ${name})
  string(MAKE_C_IDENTIFIER ${name} name)
  set(${out} ${name} PARENT_SCOPE)
endfunction()
