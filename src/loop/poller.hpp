// Poller: something whose completions come through memory instead of through the ring. The loop looks at it in every
// turn, and tells it when to wake the loop instead.
#pragma once

namespace leasepool::detail {

// Loop thread only. Must not go while it is watched.
class Poller {
 public:
  // Whether there is something to collect.
  [[nodiscard]] virtual bool ready() const noexcept = 0;

  // Notes what has come by now; and hands that over, after what the ring had completed by then.
  virtual void look() noexcept = 0;
  virtual void collect() = 0;

  // From now on it wakes the loop when something comes. False if something is there already.
  [[nodiscard]] virtual bool prepare_sleep() noexcept = 0;
  virtual void awake() noexcept = 0;

 protected:
  ~Poller() = default;
};

}  // namespace leasepool::detail
