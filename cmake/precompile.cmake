# Compiles <posthaste/posthaste.hpp> as COMPILE_WITH says into DIR, where g++ finds it with -I${DIR}.
cmake_minimum_required(VERSION 3.25)
include(${COMPILE_WITH})
file(MAKE_DIRECTORY ${DIR}/posthaste)
execute_process(COMMAND ${compiler} ${flags} -w -x c++-header ${INCLUDE}/posthaste/posthaste.hpp
  -o ${DIR}/posthaste/posthaste.hpp.gch COMMAND_ERROR_IS_FATAL ANY)
