// GrinderStats as a table for people, as JSON, and as Prometheus text.
#include <algorithm>
#include <span>
#include <string>

#include "lease/stats_format.hpp"
#include "lease/text.hpp"
#include "leasepool/grinder_stats.hpp"

namespace leasepool {

namespace {

using stats_format::Exposition;
using stats_format::in_short;
using stats_format::json_array;
using stats_format::JsonObject;
using stats_format::line;

std::string number(std::uint64_t value) { return std::to_string(value); }

const char* state_of(const GrinderStats& stats) {
  if (stats.started) return "running";
  return stats.stopping ? "stopping" : "not running";
}

// The size that so many of a hundred batches do not exceed.
std::size_t size_at(const GrinderStats& stats, std::uint64_t percent) {
  std::uint64_t left = (stats.batches_flushed * percent + 99) / 100;
  for (const auto& [size, count] : stats.batch_sizes) {
    if (left <= count) return size;
    left -= count;
  }
  return 0;
}

std::string sizes_in_short(const GrinderStats& stats) {
  if (stats.batch_sizes.empty()) return "none yet";
  return "p50 " + number(size_at(stats, 50)) + ", p99 " + number(size_at(stats, 99)) + ", max " +
         number(stats.batch_sizes.back().first) + " (" + number(stats.batches_flushed) + ")";
}

// Cumulative, in powers of two.
void size_histogram(Exposition& out, const GrinderStats& stats) {
  out.metric("grinder_batch_items", "histogram", "Items of a batch.");
  std::uint64_t items = 0;
  for (const auto& [size, count] : stats.batch_sizes) items += size * count;
  for (std::size_t bound = 1;; bound *= 2) {
    std::uint64_t within = 0;
    for (const auto& [size, count] : stats.batch_sizes) within += size <= bound ? count : 0;
    out.sample("grinder_batch_items_bucket", number(within), "le=\"" + number(bound) + "\"");
    if (bound >= stats.batch_size_threshold) break;
  }
  out.sample("grinder_batch_items_bucket", number(stats.batches_flushed), "le=\"+Inf\"");
  out.sample("grinder_batch_items_sum", number(items));
  out.sample("grinder_batch_items_count", number(stats.batches_flushed));
}

void add(Exposition& out, const GrinderStats& stats) {
  out.set_labels(stats_format::label("grinder", stats.grinder));
  out.gauge("grinder_up", stats.started ? 1 : 0, "Whether the grinder takes items.");
  out.gauge("grinder_pending", stats.pending, "Items that wait for a batch.");
  out.gauge("grinder_pending_max", stats.max_pending, "How many may wait; 0: no limit.");
  out.gauge("grinder_waiting_for_room", stats.waiting_for_room, "Items that wait until there is room for them.");
  out.seconds_gauge("grinder_oldest_wait_seconds", stats.oldest_wait, "How long the first item has waited.");
  out.gauge("grinder_batches_waiting", stats.batches_waiting, "Batches that wait for a lease.");
  out.gauge("grinder_batches_in_flight", stats.batches_in_flight, "Batches that have a lease.");
  out.gauge("grinder_items_in_flight", stats.items_in_flight, "Their items that have not ended.");
  out.counter("grinder_items_submitted_total", stats.items_submitted, "Items taken in.");
  out.counter("grinder_items_refused_total", stats.items_refused, "Items not taken in.");
  out.metric("grinder_items_total", "counter", "Items that have ended, by outcome.");
  out.sample("grinder_items_total", number(stats.items_completed), "outcome=\"completed\"");
  out.sample("grinder_items_total", number(stats.items_failed), "outcome=\"failed\"");
  out.sample("grinder_items_total", number(stats.items_cancelled), "outcome=\"cancelled\"");
  out.metric("grinder_batches_total", "counter", "Batches, by why they were flushed.");
  out.sample("grinder_batches_total", number(stats.flushed_by_size), "reason=\"size\"");
  out.sample("grinder_batches_total", number(stats.flushed_by_age), "reason=\"age\"");
  out.sample("grinder_batches_total", number(stats.flushed_by_stop), "reason=\"stop\"");
  out.counter("grinder_batches_without_lease_total", stats.batches_without_lease, "Batches whose acquire failed.");
  out.counter("grinder_items_put_back_total", stats.items_put_back,
              "Times that an item was put back, as its node was lost before it ran.");
  out.counter("grinder_batches_split_total", stats.batches_split, "Failed calls of batch functions that were halved.");
  size_histogram(out, stats);
  out.durations("grinder_item_wait_seconds", stats.item_wait, "From an item's submission to its batch's lease.");
  out.durations("grinder_item_seconds", stats.item_total, "From an item's submission to its outcome.");
}

}  // namespace

std::string to_text(const GrinderStats& stats) {
  std::string text = stats.grinder + " (grinder): " + state_of(stats) + "\n";
  const auto limit = [](Duration value, const char* what, const char* none) {
    return value == Duration::max() ? none : what + detail::in_words(value);
  };
  text += line("batches of", number(stats.batch_size_threshold) + " items" +
                                 limit(stats.max_wait, ", or what there is after ", "") + "; leases" +
                                 limit(stats.lease_duration, " of ", " without end"));
  text += line("pending", number(stats.pending) +
                              (stats.max_pending == 0 ? "" : " of at most " + number(stats.max_pending)) +
                              " items, the oldest for " + detail::in_words(stats.oldest_wait) + "; " +
                              number(stats.waiting_for_room) + " wait for room");
  text += line("in flight", number(stats.batches_in_flight) + " of at most " + number(stats.max_inflight_batches) +
                                " batches with " + number(stats.items_in_flight) + " items; " +
                                number(stats.batches_waiting) + " wait for a lease");
  text += line("items", number(stats.items_submitted) + " submitted, " + number(stats.items_completed) +
                            " completed, " + number(stats.items_failed) + " failed, " + number(stats.items_cancelled) +
                            " cancelled; " + number(stats.items_refused) + " refused");
  text +=
      line("batches", number(stats.batches_flushed) + " flushed: " + number(stats.flushed_by_size) + " by size, " +
                          number(stats.flushed_by_age) + " by age, " + number(stats.flushed_by_stop) + " by stop; " +
                          number(stats.batches_without_lease) + " got no lease, " + number(stats.batches_split) +
                          " split, " + number(stats.items_put_back) + " items put back");
  text += line("batch size", sizes_in_short(stats));
  text += line("item wait", in_short(stats.item_wait));
  text += line("item total", in_short(stats.item_total));
  for (const auto& [owner, count] : stats.pending_by_owner) {
    text += "  " + number(count) + " pending of " + detail::quoted_owner(owner) + "\n";
  }
  return text;
}

std::string to_json(const GrinderStats& stats) {
  return JsonObject()
      .add("grinder", stats.grinder)
      .add("started", stats.started)
      .add("stopping", stats.stopping)
      .add("pending", stats.pending)
      .add("oldest_wait", stats.oldest_wait)
      .add("waiting_for_room", stats.waiting_for_room)
      .raw("pending_by_owner",
           json_array(stats.pending_by_owner,
                      [](const auto& owner) {
                        return JsonObject().add("owner", owner.first).add("items", owner.second).text();
                      }))
      .add("batches_waiting", stats.batches_waiting)
      .add("batches_in_flight", stats.batches_in_flight)
      .add("items_in_flight", stats.items_in_flight)
      .add("batch_size_threshold", stats.batch_size_threshold)
      .add("max_wait", stats.max_wait)
      .add("lease_duration", stats.lease_duration)
      .add("max_pending", stats.max_pending)
      .add("max_inflight_batches", stats.max_inflight_batches)
      .add("items_submitted", stats.items_submitted)
      .add("items_refused", stats.items_refused)
      .add("items_completed", stats.items_completed)
      .add("items_failed", stats.items_failed)
      .add("items_cancelled", stats.items_cancelled)
      .add("batches_flushed", stats.batches_flushed)
      .add("flushed_by_size", stats.flushed_by_size)
      .add("flushed_by_age", stats.flushed_by_age)
      .add("flushed_by_stop", stats.flushed_by_stop)
      .add("batches_without_lease", stats.batches_without_lease)
      .add("batches_split", stats.batches_split)
      .add("items_put_back", stats.items_put_back)
      .raw("batch_sizes", json_array(stats.batch_sizes,
                                     [](const auto& size) {
                                       return JsonObject().add("items", size.first).add("batches", size.second).text();
                                     }))
      .add("item_wait", stats.item_wait)
      .add("item_total", stats.item_total)
      .text();
}

std::string to_prometheus(std::span<const ManagerStats> managers, std::span<const GrinderStats> grinders) {
  Exposition out;
  for (const ManagerStats& stats : managers) stats_format::add(out, stats);
  for (const GrinderStats& stats : grinders) add(out, stats);
  return out.text();
}

std::string to_prometheus(const GrinderStats& stats) { return to_prometheus({}, std::span(&stats, 1)); }

}  // namespace leasepool
