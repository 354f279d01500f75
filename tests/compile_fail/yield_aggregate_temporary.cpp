// WARN: this compiler destroys a temporary twice inside co_yield (GCC PR 99576); name it:
#include <posthaste/posthaste.hpp>

#include <string>

struct line {
    std::string text;
};
posthaste::stream<line> produce() { co_yield line{"one"}; }
