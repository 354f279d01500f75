// Here, in the other file and in every test: one definition of everything, or it does not link.
#include <posthaste/posthaste.hpp>
// twice does no harm
#include <posthaste/posthaste.hpp>
