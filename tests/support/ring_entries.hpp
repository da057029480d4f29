// The entries of a program into its rings, in front of liburing: each operation that is about to be submitted may be
// looked at and changed, and so may what has completed. Both functions are called by the thread that enters. A program
// links ring_entries.cpp, and defines both.
#pragma once

#include <liburing.h>

namespace leasepool::test {

void before_submission(io_uring& ring, io_uring_sqe& operation);
void after_entry(io_uring& ring);

}  // namespace leasepool::test
