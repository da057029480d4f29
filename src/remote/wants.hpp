// Wants: what pools a manager asks nodes for, whom it asks, and which offer it takes. Pure.
//
// A want is a message to some nodes, not to all: at each level l there are 2^l subjects, and each node listens to one
// of them, by a hash of its instance; at level 0 all listen to the same. So the level says how large a part of the
// nodes is asked, and which part is drawn anew each time. Where nobody has offered within a pause, more are asked, and
// all in the end, whatever anybody says: kRounds in wants.cpp has how many and when.
//
// How many nodes there are is estimated. One of the rounds, and where all are asked, is for answers, also of nodes that
// have nothing: as many as come, times the part that was asked, is a measure. Where none comes, a larger part is asked,
// so that a wrong estimate costs a few pauses. That the server says that nobody listens only ends a pause: it does not
// say so where a client listens to everything.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "leasepool/duration.hpp"

namespace leasepool::detail::remote {

// One subject that a want goes to.
struct Ask {
  std::uint64_t want = 0;
  unsigned level = 0;
  std::uint64_t bucket = 0;  // below 2^level
  Duration lasts{};          // how long nodes are to remember it
  bool answers = false;      // of those that have nothing, too
  bool operator==(const Ask&) const = default;
};

inline constexpr unsigned kMaxLevel = 10;

// To which of a level's subjects a node listens.
[[nodiscard]] std::uint64_t bucket_of(std::uint64_t node, unsigned level) noexcept;

// The lowest level at which a subject has no more than `wanted` listeners, on average.
[[nodiscard]] unsigned level_for(std::size_t nodes, std::size_t wanted) noexcept;

class Wants {
 public:
  // Draws below a number.
  using Draw = std::function<std::uint64_t(std::uint64_t)>;

  // The highest level is for so many nodes. Of more, more are asked.
  static constexpr std::size_t kMostNodes = std::size_t{2} << kMaxLevel;
  static constexpr Duration kPause = std::chrono::milliseconds(10);
  // All are asked again so often; where none of them has answered at all, what was said may be lost: for the first time
  // after kSoonest, and each time after twice as long.
  static constexpr Duration kRepeat = std::chrono::seconds(5);
  static constexpr Duration kSoonest = std::chrono::milliseconds(100);
  // Who is asked remembers it for three pauses. Those that do so for long are told when it is over.
  static constexpr Duration kTold = std::chrono::seconds(1);

  // What a node that was told to hand over a pool takes to say so, at most.
  static constexpr Duration kTakeTimeout = std::chrono::milliseconds(300);

  explicit Wants(Draw draw) : draw_(std::move(draw)) {}

  // How many nodes there are is not known any more.
  void forget_nodes() noexcept;
  void node_came() noexcept { nodes_ = std::min(nodes_ + 1, kMostNodes); }
  [[nodiscard]] std::size_t nodes() const noexcept { return nodes_; }
  // Where the next want is asked first.
  [[nodiscard]] unsigned first_level() const noexcept;
  // The server says so of one subject: what was asked there has found nobody.
  void nobody_listens(unsigned level, std::uint64_t bucket, TimePoint now) noexcept;
  // A node has offered something, or said that it has nothing.
  void answered(std::uint64_t id) noexcept;

  void want(std::uint64_t id, TimePoint now);
  struct Over {
    std::vector<Ask> asked;        // who is to be told, as they still remember it
    std::uint64_t taken_from = 0;  // a node that may have handed it over: the lease is to be ended there; 0: none
  };
  Over unwant(std::uint64_t id);
  [[nodiscard]] bool is_wanted(std::uint64_t id) const noexcept { return wants_.contains(id); }
  // Whom it was asked of last; none where an offer is about to be taken.
  [[nodiscard]] std::optional<Ask> asked_last(std::uint64_t id) const noexcept;
  // All who were asked have said no: more are asked at once, if more would be at all.
  void ask_more(std::uint64_t id, TimePoint now) noexcept;
  // So many have an offer.
  [[nodiscard]] std::size_t taken() const noexcept;
  [[nodiscard]] Duration age(std::uint64_t id, TimePoint now) const { return now - wants_.at(id).since; }

  // An offer of a node: true where it is to be taken, and then granted() or refused() follows, or a lost one.
  [[nodiscard]] bool take(std::uint64_t id, std::uint64_t node, std::uint64_t offer, TimePoint now);
  // The node has handed it over: it is not wanted any more, and whoever else was asked is to be told. None where that
  // is not what was asked of this node, or too late.
  [[nodiscard]] std::optional<std::vector<Ask>> granted(std::uint64_t id, std::uint64_t node);
  // The offer does not stand any more: others are asked at once.
  void refused(std::uint64_t id, std::uint64_t node, std::uint64_t offer, TimePoint now) noexcept;

  // Some of those that have no offer, as so many.
  [[nodiscard]] std::vector<std::uint64_t> untaken(std::size_t most) const;

  // What is to be asked now.
  [[nodiscard]] std::vector<Ask> due(TimePoint now);
  // Wants whose node has not answered in time. Who still needs a pool wants it anew, by another id, after unwant().
  [[nodiscard]] std::vector<std::uint64_t> overdue(TimePoint now) const;
  [[nodiscard]] TimePoint next_time() const noexcept;

  // The connection has come back: what was asked may be lost.
  void ask_again(TimePoint now) noexcept;
  // Of the youngest that has no offer.
  void ask_youngest_again(TimePoint now) noexcept;

 private:
  struct State {
    TimePoint since;
    TimePoint next_ask;
    std::size_t round = 0;         // of that
    TimePoint all_asked{};         // last
    Duration patience = kSoonest;  // with all of them
    std::optional<Ask> last;
    std::size_t answers = 0;       // to that
    std::vector<Ask> asked;        // who is to be told when it is over
    std::uint64_t taken_from = 0;  // a node; 0: none
    std::uint64_t offer = 0;       // of that
    TimePoint take_until{};
  };

  void start_over(State& want, TimePoint now) noexcept;
  void learn(const State& want) noexcept;
  void are_fewer(unsigned level) noexcept;
  [[nodiscard]] std::size_t first_round() const noexcept;

  Draw draw_;
  std::size_t nodes_ = kMostNodes;
  bool knows_ = false;  // about how many these are
  std::map<std::uint64_t, State> wants_;
};

}  // namespace leasepool::detail::remote
