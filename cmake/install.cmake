# Headers, an exported package with its version, and a pkg-config file; all of it may be moved.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/posthaste")  # share: the same on every architecture

install(TARGETS posthaste EXPORT posthaste-targets
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT posthaste-targets NAMESPACE posthaste:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/posthaste-config.cmake.in posthaste-config.cmake
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
# while 0.x; from 1.0 on SameMajorVersion
write_basic_package_version_file(posthaste-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
configure_file(cmake/posthaste.pc.in posthaste.pc @ONLY)

install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/posthaste-config.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/posthaste-config-version.cmake"
  cmake/Findconcurrentqueue.cmake
  DESTINATION "${package_dir}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/posthaste.pc"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
