// TurnEnd: something that is done once at the end of a turn of the loop, when all callbacks have said what they want.
#pragma once

namespace leasepool::detail {

class Engine;

// Loop thread only. It carries the links of the loop's list, so that waiting takes no memory.
class TurnEnd {
 public:
  TurnEnd() = default;
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;

  virtual void turn_ends(Engine& engine) noexcept = 0;

 protected:
  virtual ~TurnEnd() = default;

 private:
  friend class TurnEndList;
  TurnEnd* next_ = nullptr;
  bool waits_ = false;
};

// Those that wait for the end of this turn. One thread.
class TurnEndList {
 public:
  TurnEndList() = default;
  TurnEndList(const TurnEndList&) = delete;
  TurnEndList& operator=(const TurnEndList&) = delete;

  void add(TurnEnd& waiting) noexcept {
    if (waiting.waits_) return;
    waiting.waits_ = true;
    waiting.next_ = first_;
    first_ = &waiting;
  }
  void remove(TurnEnd& waiting) noexcept {
    if (!waiting.waits_) return;
    TurnEnd** place = &first_;
    while (*place != &waiting) place = &(*place)->next_;
    take(place);
  }
  void run(Engine& engine) noexcept {
    while (first_ != nullptr) take(&first_).turn_ends(engine);
  }

 private:
  static TurnEnd& take(TurnEnd** place) noexcept {
    TurnEnd& taken = **place;
    *place = taken.next_;
    taken.waits_ = false;
    return taken;
  }

  TurnEnd* first_ = nullptr;
};

}  // namespace leasepool::detail
