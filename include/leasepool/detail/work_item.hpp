// WorkItem: one item of a grinder with its receiver, as it waits in the queue; and what all who know of it share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

#include "leasepool/detail/bound_job.hpp"
#include "leasepool/detail/deferred.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/grinder_options.hpp"

namespace leasepool::detail {

class BatchFunction;
class GrinderCore;
class WorkItem;

using DoneCallback = std::move_only_function<void(Result<void>)>;

// The options of items, checked and copied.
struct ItemSettings {
  std::string owner;
  int priority = 0;
  std::optional<Duration> timeout;
};

enum class ItemPhase { outside, waiting_for_room, waiting, in_flight, ended };

// Shared by an item, its receiver and its Pending. Loop thread only, once the item is submitted.
struct ItemState {
  ItemState(std::weak_ptr<GrinderCore> core, ItemSettings options)
      : grinder(std::move(core)), settings(std::move(options)) {}

  const std::weak_ptr<GrinderCore> grinder;
  const ItemSettings settings;
  ItemPhase phase = ItemPhase::outside;
  std::uint64_t id = 0;  // in the queue, or among those that wait for room
  TimePoint submitted{};
  std::uint64_t batch = 0;  // once it is in flight
  std::uint64_t call = 0;   // its job; 0 when it shares one
  std::uint8_t times_put_back = 0;
};

// Tells the grinder what came of an item, before its receiver hears of it.
LEASEPOOL_EXPORT void item_ended(ItemState& item, const Error* error);

// What befell an item with its batch, with its owner, if it has one: the lease that the error names is the batch's.
LEASEPOOL_EXPORT Error with_owner(const ItemState& item, Error error) noexcept;

// Puts an item whose job has certainly not run, as its node was lost, back to its place in the queue, with the job.
// False where it has been put back often enough, or cannot be.
LEASEPOOL_EXPORT bool put_back(const std::shared_ptr<ItemState>& item, std::unique_ptr<Job>& job) noexcept;

// Takes an item back where it is; what comes of it is Errc::cancelled, unless it has ended.
LEASEPOOL_EXPORT void cancel_item(const std::shared_ptr<ItemState>& item);

// Whoever gets an item's result.
template <class Receiver>
class ItemReceiver {
 public:
  ItemReceiver(std::shared_ptr<ItemState> item, Receiver receiver)
      : item_(std::move(item)), receiver_(std::move(receiver)) {}
  template <class R>
  void operator()(Result<R>&& result) {
    if (!result && item_->phase == ItemPhase::in_flight) {
      result.error() = with_owner(*item_, std::move(result.error()));
    }
    item_ended(*item_, result ? nullptr : &result.error());
    receiver_(std::move(result));
  }
  template <class Arguments>
  [[nodiscard]] bool take_back(std::unique_ptr<Job>& job, Arguments& /*arguments*/) noexcept {
    return put_back(item_, job);
  }

 private:
  std::shared_ptr<ItemState> item_;
  Receiver receiver_;
};

// Queued to be delivered, it is what the loop runs.
class WorkItem : public Deferred {
 public:
  explicit WorkItem(std::shared_ptr<ItemState> item_state) : state(std::move(item_state)) {}
  void run() override { deliver(); }

  // Keeps a failure as what came of it.
  virtual void fail(Error error) = 0;
  // Hands what came of it to the receiver, once.
  virtual void deliver() = 0;
  // Its own job; null when it goes into a call of a batch function.
  virtual std::unique_ptr<Job> take_job() = 0;
  [[nodiscard]] virtual const std::shared_ptr<BatchFunction>* batch_function() const noexcept = 0;
  [[nodiscard]] virtual std::string_view function_name() const = 0;

  const std::shared_ptr<ItemState> state;
};

// A call of its own.
template <class BoundJob>
class CallItem final : public WorkItem {
 public:
  CallItem(std::shared_ptr<ItemState> item_state, std::unique_ptr<BoundJob> job)
      : WorkItem(std::move(item_state)), job_(std::move(job)) {}

  template <class Receiver>
  void set_receiver(Receiver receiver) {
    job_->set_receiver(ItemReceiver<Receiver>(state, std::move(receiver)));
  }
  void fail(Error error) override { job_->fail(std::move(error)); }
  void deliver() override { job_->deliver(); }
  std::unique_ptr<Job> take_job() override { return std::move(job_); }
  [[nodiscard]] const std::shared_ptr<BatchFunction>* batch_function() const noexcept override { return nullptr; }
  [[nodiscard]] std::string_view function_name() const override { return job_->function_name(); }

 private:
  std::unique_ptr<BoundJob> job_;
};

// What happens to an item for which there is no room.
enum class WithoutRoom { fail, wait };

// Takes back an item that still waits for room when it is destroyed.
class LEASEPOOL_EXPORT RoomTicket {
 public:
  explicit RoomTicket(std::shared_ptr<ItemState> item) noexcept : item_(std::move(item)) {}
  RoomTicket(RoomTicket&&) noexcept = default;
  RoomTicket& operator=(RoomTicket&&) = delete;
  ~RoomTicket();

 private:
  std::shared_ptr<ItemState> item_;
};

// Throws wrong_thread off the loop's thread, and not_started when the loop is gone.
LEASEPOOL_EXPORT void check_grinder_thread(const GrinderCore& grinder, const char* verb);
// Throws wrong_thread on the loop's thread.
LEASEPOOL_EXPORT void check_other_thread(const GrinderCore& grinder, const char* verb, const char* instead);
// Throws std::invalid_argument that names the option.
LEASEPOOL_EXPORT ItemSettings make_item_settings(const ItemOptions& options);

// Starts an item; what fails reaches its receiver.
LEASEPOOL_EXPORT void submit_item(const std::shared_ptr<GrinderCore>& grinder, std::unique_ptr<WorkItem> item,
                                  WithoutRoom without_room);
LEASEPOOL_EXPORT void submit_item_from_thread(const std::shared_ptr<GrinderCore>& grinder,
                                              std::unique_ptr<WorkItem> item);

}  // namespace leasepool::detail
