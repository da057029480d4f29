// Deliverable: what another thread hands back to the loop when it has ended, and whose outcome the loop then delivers.
// It carries its own links, so that neither takes memory.
#pragma once

#include <memory>

#include "leasepool/detail/job_memory.hpp"

namespace leasepool::detail {

class Deliverable : public InJobMemory {
 public:
  Deliverable() = default;
  Deliverable(const Deliverable&) = delete;
  Deliverable& operator=(const Deliverable&) = delete;
  virtual ~Deliverable() = default;

  // It has come back from the thread that had it. Loop thread.
  virtual void handed_back(std::unique_ptr<Deliverable> self) = 0;

  // Hands what came of it to its receiver, once. Loop thread.
  virtual void deliver() = 0;

  Deliverable* next = nullptr;  // of the queue that owns it
  Deliverable* previous = nullptr;
};

}  // namespace leasepool::detail
