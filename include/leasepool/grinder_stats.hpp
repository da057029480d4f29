// What a grinder says about itself: as values, as a table for people, as JSON and as Prometheus text.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/stats.hpp"

namespace leasepool {

struct GrinderStats {
  std::string grinder{};  ///< its owner_prefix
  bool started = false;
  bool stopping = false;
  /// Items that wait for a batch, and how long the first of them has; waiting_for_room: those of submit_when_room()
  /// that are not among them yet.
  std::size_t pending = 0;
  Duration oldest_wait{};
  std::size_t waiting_for_room = 0;
  /// The items that wait by ItemOptions::owner, in the order of the owners' names.
  std::vector<std::pair<std::string, std::size_t>> pending_by_owner{};
  /// Batches that are due and wait for a lease, and those that have one, with their items that have not ended.
  std::size_t batches_waiting = 0;
  std::size_t batches_in_flight = 0;
  std::size_t items_in_flight = 0;

  /// The options in force.
  std::size_t batch_size_threshold = 0;
  Duration max_wait{};
  Duration lease_duration{};
  std::size_t max_pending = 0;
  std::size_t max_inflight_batches = 0;

  /// Since the grinder was constructed. Each submitted item is or will be one of completed, failed, cancelled.
  std::uint64_t items_submitted = 0;
  std::uint64_t items_refused = 0;  ///< never taken in: not_started, queue_full
  std::uint64_t items_completed = 0;
  std::uint64_t items_failed = 0;
  std::uint64_t items_cancelled = 0;
  std::uint64_t batches_flushed = 0;
  std::uint64_t flushed_by_size = 0;
  std::uint64_t flushed_by_age = 0;
  std::uint64_t flushed_by_stop = 0;
  std::uint64_t batches_without_lease = 0;  ///< whose acquire failed, and all of their items with it
  std::uint64_t batches_split = 0;          ///< calls of batch functions that were halved to find the culprit

  /// How many batches had so many items: (size, count), the smallest first.
  std::vector<std::pair<std::size_t, std::uint64_t>> batch_sizes{};
  DurationSummary item_wait{};   ///< from submission to a batch's lease
  DurationSummary item_total{};  ///< from submission to the outcome

  /// Times that an item was put back into the queue, as its node was lost before it ran.
  std::uint64_t items_put_back = 0;
};

/// A readable table.
LEASEPOOL_EXPORT std::string to_text(const GrinderStats& stats);

/// One JSON object; durations in seconds.
LEASEPOOL_EXPORT std::string to_json(const GrinderStats& stats);

/// Prometheus' text format, labelled with the grinder.
LEASEPOOL_EXPORT std::string to_prometheus(const GrinderStats& stats);

/// The same of several managers and grinders, which should each differ in their names: all that a program has to say in
/// one text, in which each metric is described once.
LEASEPOOL_EXPORT std::string to_prometheus(std::span<const ManagerStats> managers,
                                           std::span<const GrinderStats> grinders);

}  // namespace leasepool

#endif
