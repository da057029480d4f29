// LEASEPOOL_EXPORT: what a program finds in the library. All else that is defined there is hidden.
#pragma once

// Before a function that the library defines and a program calls, itself or by a template of ours; in the head of a
// class with such members (its inline ones stay hidden) or whose exceptions cross the library's border.
#define LEASEPOOL_EXPORT [[gnu::visibility("default")]]
