// Deferred: something that the loop runs later. It is made when the thing that it will report is started and carries
// its own links, so that running it later takes no memory.
#pragma once

#include "leasepool/detail/job_memory.hpp"

namespace leasepool::detail {

// Made on any thread, run on the loop's.
class Deferred : public InJobMemory {
 public:
  Deferred() = default;
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  virtual ~Deferred() = default;

  virtual void run() = 0;

  Deferred* next = nullptr;  // of the queue that owns it
  Deferred* previous = nullptr;
};

}  // namespace leasepool::detail
