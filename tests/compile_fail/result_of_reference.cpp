// EXPECT: result<T&> would dangle across threads; use result<T> or result<T*>
#include <posthaste/posthaste.hpp>

posthaste::result<int&> find(int& n) { return posthaste::result<int&>(std::in_place, n); }
