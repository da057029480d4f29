// LoopClient: something that lives on a loop and must end with it.
#pragma once

namespace leasepool::detail {

class LoopClient {
 public:
  // The loop is being destroyed: end everything that is in flight, now. Still on the loop's thread; no callback of the
  // caller's runs any more.
  virtual void loop_closing() noexcept = 0;

 protected:
  ~LoopClient() = default;
};

}  // namespace leasepool::detail
