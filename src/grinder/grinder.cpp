// The public grinder over GrinderCore: which thread may call what, and what an option may be.
#include "leasepool/grinder.hpp"

#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/leak.hpp"
#include "grinder/grinder_core.hpp"
#include "grinder/grinder_options_check.hpp"
#include "lease/options_check.hpp"
#include "lease/text.hpp"
#include "leasepool/detail/access.hpp"
#include "loop/ask_loop.hpp"
#include "loop/loop_core.hpp"

namespace leasepool {

namespace detail {

namespace {

Error loop_gone(const GrinderCore& grinder) noexcept {
  return Error::make(Errc::not_started, [&] { return grinder.options().owner_prefix + ": its loop was destroyed"; });
}

// An item on its way to the loop's thread. Dropped there or on the way, because the loop or the grinder is gone, it
// fails.
class ItemSubmission final : public Deferred {
 public:
  ItemSubmission(const std::shared_ptr<GrinderCore>& grinder, std::unique_ptr<WorkItem>& item)
      : grinder_(grinder), name_(grinder->options().owner_prefix), item_(std::move(item)) {}
  ItemSubmission(const ItemSubmission&) = delete;
  ItemSubmission& operator=(const ItemSubmission&) = delete;
  ~ItemSubmission() override {
    if (!item_) return;
    item_->fail(Error::make(Errc::not_started, [&] {
      return name_ + ": the grinder or its loop was destroyed before the item came there";
    }));
    item_->deliver();
  }
  void run() override {
    if (const auto grinder = grinder_.lock()) grinder->submit(std::move(item_), WithoutRoom::fail);
  }

 private:
  std::weak_ptr<GrinderCore> grinder_;
  std::string name_;
  std::unique_ptr<WorkItem> item_;
};

}  // namespace

void check_is_no_copy(const GrinderCore& grinder, const char* verb) {
  if (!grinder.scheduler().is_copy()) return;
  throw LeasePoolError(Errc::wrong_thread, grinder.options().owner_prefix + ": " + verb +
                                               "() in a process that was forked from the one that made the grinder: a "
                                               "child needs a Loop, a manager and a grinder of its own");
}

void check_grinder_thread(const GrinderCore& grinder, const char* verb) {
  check_is_no_copy(grinder, verb);
  if (!grinder.scheduler().on_thread()) {
    throw LeasePoolError(Errc::wrong_thread, grinder.options().owner_prefix + ": " + verb +
                                                 "() was called off the loop's thread; use submit_from_thread(), "
                                                 "stats_from_thread(), or Loop::post() to get there");
  }
  if (grinder.scheduler().closed()) loop_gone(grinder).raise();
}

void check_other_thread(const GrinderCore& grinder, const char* verb, const char* instead) {
  check_is_no_copy(grinder, verb);
  if (!grinder.scheduler().on_thread()) return;
  throw LeasePoolError(Errc::wrong_thread, grinder.options().owner_prefix + ": " + verb +
                                               "() was called on the loop's own thread, where waiting for it would "
                                               "never end; use " +
                                               instead);
}

ItemSettings make_item_settings(const ItemOptions& options) {
  check_item_options(options);
  return {.owner = std::string(options.owner), .priority = options.priority, .timeout = options.timeout};
}

bool needs_encoding(const GrinderCore& grinder) { return grinder.backend() != ExecutorBackend::thread; }

void submit_item(const std::shared_ptr<GrinderCore>& grinder, std::unique_ptr<WorkItem> item,
                 WithoutRoom without_room) {
  check_grinder_thread(*grinder, "submit");
  grinder->submit(std::move(item), without_room);
}

void submit_item_from_thread(const std::shared_ptr<GrinderCore>& grinder, std::unique_ptr<WorkItem> item) {
  grinder->scheduler().post(std::make_unique<ItemSubmission>(grinder, item));
}

Error with_owner(const ItemState& item, Error error) noexcept {
  const bool thrown_by_function = error.code() == Errc::remote_exception;  // whose words are its own
  if (item.settings.owner.empty() || thrown_by_function) return error;
  return Access::with_message(error,
                              [&] { return "item of " + quoted_owner(item.settings.owner) + ": " + error.message(); });
}

namespace {

// One whose job was made before.
class ReturnedItem final : public WorkItem {
 public:
  ReturnedItem(std::shared_ptr<ItemState> item_state, std::unique_ptr<Job>& job)
      : WorkItem(std::move(item_state)), job_(std::move(job)) {}
  void fail(Error error) override { job_->fail(std::move(error)); }
  void deliver() override { job_->deliver(); }
  std::unique_ptr<Job> take_job() override {
    job_->state.renew();
    return std::move(job_);
  }
  [[nodiscard]] const std::shared_ptr<BatchFunction>* batch_function() const noexcept override { return nullptr; }
  [[nodiscard]] std::string_view function_name() const override { return job_->function_name(); }

 private:
  std::unique_ptr<Job> job_;
};

}  // namespace

bool put_back(const std::shared_ptr<ItemState>& item, std::unique_ptr<Job>& job) noexcept {
  const auto grinder = item->grinder.lock();
  if (!grinder || !grinder->may_put_back(*item)) return false;
  try {
    auto returned = std::make_unique<ReturnedItem>(item, job);
    std::unique_ptr<WorkItem> placed = std::move(returned);
    try {
      grinder->put_back(placed);
      return true;
    } catch (const std::bad_alloc&) {
      job = placed->take_job();
    }
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it fails then
  }
  return false;
}

void item_ended(ItemState& item, const Error* error) {
  if (item.phase != ItemPhase::in_flight) return;
  if (const auto grinder = item.grinder.lock()) grinder->item_ended(item, error);
}

void cancel_item(const std::shared_ptr<ItemState>& item) {
  const auto grinder = item->grinder.lock();
  if (!grinder) return;
  check_grinder_thread(*grinder, "Pending::cancel");
  grinder->cancel(*item);
}

RoomTicket::~RoomTicket() {
  if (!item_) return;
  if (const auto grinder = item_->grinder.lock()) grinder->leave_room_queue(*item_);
}

void start_grinder(const std::shared_ptr<GrinderCore>& grinder, DoneCallback done) {
  check_grinder_thread(*grinder, "start");
  grinder->start(std::move(done));
}

void stop_grinder(const std::shared_ptr<GrinderCore>& grinder, bool cancel_pending, DoneCallback done) {
  check_grinder_thread(*grinder, "stop");
  grinder->stop(cancel_pending, std::move(done));
}

}  // namespace detail

WorkGrinder::WorkGrinder(LeasedExecutorManager& manager, const GrinderOptions& options, std::source_location where)
    : loop_(detail::Access::loop(manager)) {
  loop_->check_thread("WorkGrinder");
  detail::check_grinder_options(options);
  core_ = std::make_shared<detail::GrinderCore>(loop_, detail::Access::core(manager), options, where);
  loop_->attach(*core_);
}

WorkGrinder::~WorkGrinder() {
  if (loop_->is_copy()) {
    detail::leak(std::move(core_));
    return;
  }
  detail::check(loop_->on_thread(), "a grinder is destroyed on its loop's thread");
  core_->shut_down();
  loop_->detach(*core_);
}

void WorkGrinder::start_async(detail::DoneCallback done) {
  detail::check_callback("start_async", done != nullptr);
  detail::start_grinder(core_, std::move(done));
}

void WorkGrinder::stop_async(bool cancel_pending, detail::DoneCallback done) {
  detail::check_callback("stop_async", done != nullptr);
  detail::stop_grinder(core_, cancel_pending, std::move(done));
}

GrinderStats WorkGrinder::stats() const {
  if (!loop_->on_thread()) detail::check_grinder_thread(*core_, "stats");
  return core_->stats();
}

GrinderStats WorkGrinder::stats_from_thread() const {
  detail::check_other_thread(*core_, "stats_from_thread", "stats()");
  return detail::ask_loop(
      *loop_, [grinder = core_] { return grinder->stats(); }, [this] { return detail::loop_gone(*core_); });
}

const detail::ItemSettings& WorkGrinder::settings() noexcept {
  static const detail::ItemSettings none;
  return none;
}

}  // namespace leasepool
