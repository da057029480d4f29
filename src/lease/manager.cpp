// The public manager and lease over ManagerCore and LeaseRecord: which thread may call what, and what an option may be.
#include "leasepool/manager.hpp"

#include <stop_token>
#include <utility>

#include "base/check.hpp"
#include "base/leak.hpp"
#include "lease/lease_record.hpp"
#include "lease/manager_core.hpp"
#include "lease/options_check.hpp"
#include "leasepool/detail/access.hpp"
#include "loop/ask_loop.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool_source.hpp"

namespace leasepool {

namespace detail {

namespace {

// What a child process got of them by fork() is a copy, and the other process's to use.
[[noreturn]] void throw_is_copy(const std::string& whose) {
  throw LeasePoolError(Errc::wrong_thread, whose +
                                               " was used in a process that was forked from the one that made it: a "
                                               "child needs a Loop and a manager of its own");
}

void check_lease_thread(const LeaseRecord& record) {
  if (record.scheduler->on_thread()) return;
  if (record.scheduler->is_copy()) throw_is_copy(record.description());
  throw LeasePoolError(
      Errc::wrong_thread,
      record.description() +
          " was used off its loop's thread; use ExecutorLease::submit(), which any thread may call, or "
          "Loop::post() to get there");
}

void check_on_thread(const ManagerCore& manager, const char* verb) {
  if (manager.scheduler().on_thread()) return;
  if (manager.scheduler().is_copy()) throw_is_copy(manager.options().name_prefix);
  throw LeasePoolError(Errc::wrong_thread, manager.options().name_prefix + ": " + verb +
                                               "() was called off the loop's thread; use Loop::post() to get there");
}

void check_other_thread(const ManagerCore& manager, const char* verb, const char* instead) {
  if (manager.scheduler().is_copy()) throw_is_copy(manager.options().name_prefix);
  if (!manager.scheduler().on_thread()) return;
  throw LeasePoolError(Errc::wrong_thread, manager.options().name_prefix + ": " + verb +
                                               "() was called on the loop's own thread, where waiting for it would "
                                               "never end; use " +
                                               instead);
}

ManagerStats stats_of(ManagerCore& manager, const LoopCore& loop) {
  ManagerStats stats = manager.stats();
  stats.engine = loop.engine().kind();
  return stats;
}

Error loop_gone(std::string_view whose) noexcept {
  return Error::make(Errc::not_started, [&] { return std::string(whose) + ": its loop was destroyed"; });
}
Error loop_gone(const LeaseRecord& record) noexcept {
  return Error::make(Errc::not_started, [&] { return record.description() + ": its loop was destroyed"; });
}

const LeaseRecord& check_not_empty(const LeaseRecord* record) {
  if (record != nullptr) return *record;
  const Error error(Errc::lease_expired, "this ExecutorLease is empty: it was moved from, or never acquired");
  Access::not_run(error).raise();
}

// A call on its way to the loop's thread. Dropped there or on the way, because the loop is gone, it fails.
class Submission final : public Deferred {
 public:
  Submission(std::shared_ptr<LeaseRecord> record, std::unique_ptr<Job> job, CallSettings settings) noexcept
      : record_(std::move(record)), job_(std::move(job)), settings_(std::move(settings)) {}
  Submission(const Submission&) = delete;
  Submission& operator=(const Submission&) = delete;
  ~Submission() override {
    if (!job_) return;
    job_->fail(loop_gone(*record_));
    job_->deliver();
  }
  void run() override { record_->submit(std::move(job_), settings_); }

 private:
  std::shared_ptr<LeaseRecord> record_;
  std::unique_ptr<Job> job_;
  CallSettings settings_;
};

}  // namespace

void check_manager_thread(const ManagerCore& manager, const char* verb) {
  check_on_thread(manager, verb);
  if (!manager.scheduler().closed()) return;
  throw LeasePoolError(Errc::not_started, manager.options().name_prefix + ": " + verb + "(): its loop was destroyed");
}

AcquireRequest make_acquire_request(const ManagerCore& manager, const AcquireOptions& options,
                                    std::source_location where) {
  check_manager_thread(manager, "acquire");
  check_acquire_options(options);
  return {.owner = std::string(options.owner),
          .lease_duration = options.lease_duration.value_or(manager.options().default_lease_duration),
          .wait = options.wait,
          .timeout = options.timeout,
          .where = where};
}

AcquireTicket acquire(const std::shared_ptr<ManagerCore>& manager, const AcquireRequest& request,
                      AcquireCallback callback) {
  const std::uint64_t waiter = manager->acquire(request, std::move(callback));
  return {waiter == 0 ? std::weak_ptr<ManagerCore>() : manager, waiter};
}

void acquire_unless_stopped(const std::shared_ptr<ManagerCore>& manager, const AcquireRequest& request,
                            AcquireCallback callback, const std::stop_token& stop) {
  check_manager_thread(*manager, "acquire");
  (void)manager->acquire(request, std::move(callback), stop);
}

AcquireTicket::~AcquireTicket() {
  if (waiter_ == 0) return;
  if (const auto manager = manager_.lock()) manager->leave_queue(waiter_);
}

void start_manager(const std::shared_ptr<ManagerCore>& manager, DoneCallback done) {
  check_manager_thread(*manager, "start");
  manager->start(std::move(done));
}

void stop_manager(const std::shared_ptr<ManagerCore>& manager, DoneCallback done) {
  check_manager_thread(*manager, "stop");
  manager->stop(std::move(done));
}

void check_may_call(const LeaseRecord* record) {
  check_lease_thread(check_not_empty(record));
  if (record->scheduler->closed()) loop_gone(*record).raise();
}

void submit_job(const std::shared_ptr<LeaseRecord>& record, std::unique_ptr<Job> job, const CallSettings& settings) {
  check_may_call(record.get());
  record->submit(std::move(job), settings);
}

void submit_job_from_thread(const std::shared_ptr<LeaseRecord>& record, std::unique_ptr<Job> job,
                            const CallSettings& settings) {
  check_not_empty(record.get());
  if (record->scheduler->is_copy()) throw_is_copy(record->description());
  if (record->scheduler->on_thread()) {
    check_may_call(record.get());
    return record->submit(std::move(job), settings);
  }
  if (record->pool()->would_wait_for_itself()) {
    job->fail(record->self_wait(job->function_name()));
    return job->deliver();
  }
  record->scheduler->post(std::make_unique<Submission>(record, std::move(job), settings));
}

}  // namespace detail

LeasedExecutorManager::LeasedExecutorManager(Loop& loop, ManagerOptions options) : loop_(detail::Access::core(loop)) {
  loop_->check_thread("LeasedExecutorManager");
  detail::check_manager_options(options);
  auto pools = detail::make_pool_source(loop_, options);
  core_ = std::make_shared<detail::ManagerCore>(loop_, std::move(options), std::move(pools));
  loop_->attach(*core_);
}

LeasedExecutorManager::~LeasedExecutorManager() {
  if (loop_->is_copy()) {
    detail::leak(std::move(core_));
    return;
  }
  detail::check(loop_->on_thread(), "a manager is destroyed on its loop's thread");
  core_->shut_down();
  loop_->detach(*core_);
}

void LeasedExecutorManager::start_async(detail::DoneCallback done) {
  detail::check_callback("start_async", done != nullptr);
  detail::start_manager(core_, std::move(done));
}

void LeasedExecutorManager::stop_async(detail::DoneCallback done) {
  detail::check_callback("stop_async", done != nullptr);
  detail::stop_manager(core_, std::move(done));
}

void LeasedExecutorManager::acquire_async(AcquireOptions options, detail::AcquireCallback callback,
                                          std::source_location where) {
  detail::check_callback("acquire_async", callback != nullptr);
  (void)core_->acquire(detail::make_acquire_request(*core_, options, where), std::move(callback));
}

void LeasedExecutorManager::notify_scale_changed() {
  if (!loop_->is_copy()) core_->notify_scale_changed();
}

std::size_t LeasedExecutorManager::desired_executor_count() const {
  detail::check_on_thread(*core_, "desired_executor_count");
  return core_->desired();
}
std::size_t LeasedExecutorManager::available_count() const {
  detail::check_on_thread(*core_, "available_count");
  return core_->available();
}
std::size_t LeasedExecutorManager::leased_count() const {
  detail::check_on_thread(*core_, "leased_count");
  return core_->leased();
}
std::size_t LeasedExecutorManager::total_count() const {
  detail::check_on_thread(*core_, "total_count");
  return core_->total();
}
ExecutorBackend LeasedExecutorManager::backend() const noexcept { return core_->options().backend; }
ManagerStats LeasedExecutorManager::stats() const {
  detail::check_on_thread(*core_, "stats");
  return detail::stats_of(*core_, *loop_);
}

ManagerStats LeasedExecutorManager::stats_from_thread() const {
  detail::check_other_thread(*core_, "stats_from_thread", "stats()");
  return detail::ask_loop(
      *loop_, [core = core_, loop = loop_] { return detail::stats_of(*core, *loop); },
      [this] { return detail::loop_gone(core_->options().name_prefix); });
}

ExecutorLease& ExecutorLease::operator=(ExecutorLease&& other) noexcept {
  std::swap(record_, other.record_);
  if (&other != this) other.release_from_any_thread();
  return *this;
}

ExecutorLease::~ExecutorLease() { release_from_any_thread(); }

void ExecutorLease::release_from_any_thread() noexcept {
  auto record = std::exchange(record_, nullptr);
  if (!record) return;
  if (record->scheduler->is_copy()) return detail::leak(std::move(record));
  if (record->scheduler->on_thread()) {
    record->release();
  } else {
    detail::LeaseRecord::release_from_thread(std::move(record));
  }
}

void ExecutorLease::release() {
  if (!record_) return;
  detail::check_lease_thread(*record_);
  record_->release();
}

void ExecutorLease::extend(TimeSpan duration) {
  detail::check_may_call(record_.get());
  detail::check_positive("duration of extend()", duration);
  record_->extend(duration);
}

std::uint64_t ExecutorLease::lease_id() const noexcept { return record_ ? record_->id : 0; }
std::string ExecutorLease::owner() const { return record_ ? record_->owner : std::string(); }
TimePoint ExecutorLease::soft_expires_at() const noexcept { return record_ ? record_->soft_expires_at : TimePoint{}; }
TimePoint ExecutorLease::hard_expires_at() const noexcept { return record_ ? record_->hard_expires_at : TimePoint{}; }
bool ExecutorLease::active() const noexcept { return record_ && record_->state() == detail::LeaseState::active; }

}  // namespace leasepool
