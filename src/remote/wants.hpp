// Wants: what pools a manager asks nodes for, whom it asks, and which offer it takes. Pure.
//
// A want is a message to some nodes, not to all: at each level l there are 2^l subjects, and each node listens to one
// of them, by a hash of its instance; at level 0 all listen to the same. So the level says how large a part of the
// nodes is asked, and which part is drawn anew each time. Where nobody has offered soon, more are asked: of few nodes
// all, of many a number that does not grow with theirs.
#pragma once

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

  // So many nodes are asked first, on average, and twice as many after a pause without an offer: all of them, where
  // they are few, else no more than the last number at once.
  static constexpr std::size_t kAskedFirst = 2;
  static constexpr std::size_t kAskedLast = 8;
  static constexpr std::size_t kFew = 64;
  static constexpr Duration kPause = std::chrono::milliseconds(10);
  // It begins again so often, as long as it is wanted.
  static constexpr Duration kRepeat = std::chrono::seconds(5);
  // The last that are asked remember it until then, and are told when it is over. Those before them need not be.
  static constexpr Duration kLong = 3 * kRepeat;
  static constexpr Duration kShort = 3 * kPause;
  // What a node that was told to hand over a pool takes to say so, at most.
  static constexpr Duration kTakeTimeout = std::chrono::milliseconds(300);

  explicit Wants(Draw draw) : draw_(std::move(draw)) {}

  // How many nodes there are, as far as is known.
  void set_nodes(std::size_t nodes) noexcept { nodes_ = nodes; }

  void want(std::uint64_t id, TimePoint now);
  struct Over {
    std::vector<Ask> asked;        // who is to be told, as they still remember it
    std::uint64_t taken_from = 0;  // a node that may have handed it over: the lease is to be ended there; 0: none
  };
  Over unwant(std::uint64_t id);
  [[nodiscard]] bool is_wanted(std::uint64_t id) const noexcept { return wants_.contains(id); }
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

 private:
  struct State {
    TimePoint since;
    TimePoint next_ask;
    std::size_t asked_next = kAskedFirst;
    std::vector<Ask> asked;
    std::uint64_t taken_from = 0;  // a node; 0: none
    std::uint64_t offer = 0;       // of that
    TimePoint take_until{};
  };

  void start_over(State& want, TimePoint now) noexcept;

  Draw draw_;
  std::size_t nodes_ = 0;
  std::map<std::uint64_t, State> wants_;
};

}  // namespace leasepool::detail::remote
