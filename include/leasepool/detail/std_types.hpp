// Names of the standard library's types that few programs have: who passes a std::map or a std::stop_token has included
// its header, and nobody else pays for it. Together these headers are a quarter of what a small program compiles.
#pragma once

#include <version>

// Declared as libstdc++ declares them. Where it may do so otherwise, as in its debug mode, the headers are included.
#if defined(_GLIBCXX_RELEASE) && _GLIBCXX_RELEASE <= 15 && !defined(_GLIBCXX_DEBUG) && !defined(_GLIBCXX_PARALLEL) && \
    !defined(_GLIBCXX_INLINE_VERSION_DECLARATIONS) && !_GLIBCXX_INLINE_VERSION
#include <cstddef>

// NOLINTBEGIN(cert-dcl58-cpp): as it says
namespace [[gnu::visibility("default")]] std {
template <size_t>
class bitset;
template <class>
class complex;
template <class, class>
class deque;
template <class, class>
class forward_list;
template <class, class, class, class>
class map;
template <class, class, class, class>
class multimap;
template <class, class, class>
class multiset;
template <class, class, class>
class priority_queue;
template <class, class>
class queue;
template <class, class, class>
class set;
template <class, class>
class stack;
template <class>
class valarray;
#if _GLIBCXX_USE_CXX11_ABI
inline namespace __cxx11 {
template <class, class>
class list;
}
#else
template <class, class>
class list;
#endif

class stop_source;
class stop_token;
template <class>
class future;
template <class>
class packaged_task;
template <class>
class promise;
}  // namespace std
// NOLINTEND(cert-dcl58-cpp)
#else
#include <bitset>
#include <complex>
#include <deque>
#include <forward_list>
#include <future>
#include <list>
#include <map>
#include <queue>
#include <set>
#include <stack>
#include <stop_token>
#include <valarray>
#endif
