// Liveness: whether the other end is there, by when it was heard last. Pure.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail::remote {

class Liveness {
 public:
  // `silence`: how long it may say nothing. `nobody`: how long the server may say that nobody listens there, as when it
  // connects anew.
  Liveness(Duration silence, Duration nobody, TimePoint now) noexcept
      : silence_(silence), nobody_(nobody), heard_(now) {}

  void heard(TimePoint now) noexcept {
    heard_ = std::max(heard_, now);
    nobody_since_ = TimePoint::max();
  }
  void nobody_listens(TimePoint now) noexcept { nobody_since_ = std::min(nobody_since_, now); }
  // The own connection is back: what is there has as long to be heard as to connect anew.
  void connected(TimePoint now) noexcept {
    if (silence_ > nobody_ && now.time_since_epoch() > silence_) heard_ = std::max(heard_, now - silence_ + nobody_);
  }
  // The own connection is gone: the server says nothing about others until it is back.
  void disconnected() noexcept { nobody_since_ = TimePoint::max(); }
  // The same, and the silence counts from now.
  void disconnected(TimePoint now) noexcept { heard(now); }

  [[nodiscard]] TimePoint last_heard() const noexcept { return heard_; }
  [[nodiscard]] TimePoint lost_at() const noexcept {
    const TimePoint by_silence = deadline_after(heard_, silence_);
    return nobody_since_ == TimePoint::max() ? by_silence
                                             : std::min(by_silence, deadline_after(nobody_since_, nobody_));
  }
  [[nodiscard]] bool silent(TimePoint now) const noexcept { return now >= deadline_after(heard_, silence_); }
  [[nodiscard]] bool lost(TimePoint now) const noexcept { return now >= lost_at(); }

 private:
  Duration silence_;
  Duration nobody_;
  TimePoint heard_;
  TimePoint nobody_since_ = TimePoint::max();
};

}  // namespace leasepool::detail::remote
