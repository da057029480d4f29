// The kinds of Deferred that the library uses.
#pragma once

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "base/check.hpp"
#include "base/intrusive_queue.hpp"
#include "leasepool/detail/deferred.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

class DeferredFunction final : public Deferred {
 public:
  explicit DeferredFunction(std::move_only_function<void()> function) noexcept : function_(std::move(function)) {}
  void run() override { function_(); }

 private:
  std::move_only_function<void()> function_;
};

// A caller's callback with the room for its result.
template <class T>
class Notice final : public Deferred {
 public:
  using Callback = std::move_only_function<void(Result<T>)>;

  explicit Notice(Callback callback) noexcept : callback_(std::move(callback)) {}

  // What run() will hand over; before it is deferred.
  void set(Result<T> result) noexcept {
    check(!result_, "whoever waits is told one result");
    result_.emplace(std::move(result));
  }
  void run() override {
    check(result_.has_value(), "whoever waits is told when there is a result");
    callback_(std::move(*result_));
  }

 private:
  Callback callback_;
  std::optional<Result<T>> result_;
};

// Those who wait for the same, in order.
class DoneNotices {
 public:
  void add(std::unique_ptr<Notice<void>> notice) noexcept { notices_.push_back(std::move(notice)); }
  void take_all(DoneNotices& other) noexcept { notices_.append(std::move(other.notices_)); }
  [[nodiscard]] bool empty() const noexcept { return notices_.empty(); }

  // Has each of them run later, with the result.
  template <class Scheduler>
  void tell(Scheduler& scheduler, const Result<void>& result) noexcept {
    IntrusiveQueue<Deferred> told = std::move(notices_);
    while (!told.empty()) {
      std::unique_ptr<Deferred> notice = told.pop_front();
      // All of them were added as such. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
      static_cast<Notice<void>&>(*notice).set(result);
      scheduler.defer(std::move(notice));
    }
  }

 private:
  IntrusiveQueue<Deferred> notices_;
};

// A member of the object of which it calls a function, for what may have to run at any time and any number of times: it
// keeps the object while it is queued and takes no memory. One thread at a time.
template <class Owner, void (Owner::*kFunction)()>
class DeferredMember final : public Deferred {
 public:
  DeferredMember() = default;
  DeferredMember(const DeferredMember&) = delete;
  DeferredMember& operator=(const DeferredMember&) = delete;
  ~DeferredMember() override { check(!queued_, "what is queued keeps the object that it is a member of"); }

  // What is to be queued; null if it is already. The queue's deleting it only says that it is not queued any more.
  [[nodiscard]] std::unique_ptr<Deferred> to_queue(std::shared_ptr<Owner> owner) noexcept {
    if (queued_) return nullptr;
    queued_ = true;
    owner_ = std::move(owner);
    return std::unique_ptr<Deferred>(this);
  }

  void run() override {
    check(queued_, "what runs was queued");
    running_ = true;
    queued_ = false;  // from here on it may be queued again
    const auto owner = owner_;
    (owner.get()->*kFunction)();
  }

  static void operator delete(DeferredMember* self, std::destroying_delete_t /*in place*/) noexcept {
    const bool again = self->running_ && self->queued_;
    self->running_ = false;
    if (again) return;
    self->queued_ = false;
    const auto last_hold = std::move(self->owner_);  // may end the owner, and with it this
  }

 private:
  std::shared_ptr<Owner> owner_;
  bool queued_ = false;
  bool running_ = false;
};

}  // namespace leasepool::detail
