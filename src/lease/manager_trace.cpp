// A manager's part of the trace: opening it, and its leases, each on the row of the pool that it lends.
#include <chrono>
#include <new>
#include <string>
#include <utility>

#include "lease/manager_core.hpp"

namespace leasepool::detail {

namespace {

// The manager's group is the first.
constexpr TraceRow kOwnRow{.group = 1, .row = 1};

std::string_view name_of(LeaseState state) noexcept {
  switch (state) {
    case LeaseState::active: break;
    case LeaseState::released: return "released";
    case LeaseState::revoked: return "revoked";
    case LeaseState::lost: return "lost";
    case LeaseState::orphaned: return "orphaned";
  }
  return "active";
}

}  // namespace

// With the first start. Throws std::bad_alloc.
Result<void> ManagerCore::open_trace() {
  if (options_.trace.path.empty() || call_stats_->trace) return {};
  auto opened = TraceFile::open(options_.trace, scheduler_->now(), [weak = weak_from_this()](const std::string& what) {
    const auto self = weak.lock();
    if (self) self->log(LogLevel::warning, [&] { return what; });
  });
  if (!opened) {
    return std::unexpected(
        Access::with_message(opened.error(), [&] { return options_.name_prefix + ": " + opened.error().message(); }));
  }
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count();
  const TraceRow row = (*opened)->add_group(options_.name_prefix);
  (*opened)->instant(row, "the trace begins here", scheduler_->now(),
                     {{"unix_microseconds", static_cast<std::uint64_t>(microseconds)}});
  call_stats_->trace = std::move(*opened);
  return {};
}

void ManagerCore::trace_grant(const LeaseRecord& lease, TimePoint asked) noexcept {
  TraceFile& trace = *call_stats_->trace;
  if (lease.granted_at > asked) {
    const TraceFile::Async wait{.category = "acquire", .id = lease.id};
    trace.begin(wait, kOwnRow, "acquire", asked, {{"owner", lease.owner}, {"lease", lease.id}});
    trace.end(wait, kOwnRow, "acquire", lease.granted_at, {});
  }
  std::string where;
  try {
    where = std::string(lease.where.file_name()) + ":" + std::to_string(lease.where.line());
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it goes untold
  }
  trace.begin(lease.trace_row, lease.owner.empty() ? "an unnamed owner" : lease.owner, lease.granted_at,
              {{"owner", lease.owner}, {"lease", lease.id}, {"acquired_at", where}});
}

void ManagerCore::trace_lease(const LeaseRecord& lease, std::string_view what) noexcept {
  call_stats_->trace->instant(lease.trace_row, what, scheduler_->now(), {{"lease", lease.id}});
}

void ManagerCore::trace_lease_end(const LeaseRecord& lease) noexcept {
  call_stats_->trace->end(lease.trace_row, scheduler_->now(), {{"end", name_of(lease.state())}});
}

}  // namespace leasepool::detail
