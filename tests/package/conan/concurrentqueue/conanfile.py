import os

from conan import ConanFile
from conan.tools.files import copy


class ConcurrentQueueConan(ConanFile):
    """Stands in for Conan Center's recipe, in its layout, where the centre is out of reach:
    packages the headers of Debian's libconcurrentqueue-dev (all releases of it)."""
    name = "concurrentqueue"
    version = "1.0.3"
    package_type = "header-library"
    no_copy_source = True

    def package(self):
        for system in ("/usr/include/concurrentqueue/moodycamel", "/usr/include/concurrentqueue"):
            if os.path.exists(os.path.join(system, "concurrentqueue.h")):
                copy(self, "*.h", system, os.path.join(self.package_folder, "include/moodycamel"))
                return
        raise RuntimeError("libconcurrentqueue-dev is not installed")

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.includedirs = ["include", os.path.join("include", "moodycamel")]
        self.cpp_info.set_property("cmake_file_name", "concurrentqueue")
        self.cpp_info.set_property("cmake_target_name", "concurrentqueue::concurrentqueue")
