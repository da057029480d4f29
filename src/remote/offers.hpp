// Offers: a node's free pools, and who wants one. A pool is bound to a want as late as it can be: when it is free, it
// is offered to the want that has waited longest. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "leasepool/duration.hpp"
#include "remote/acquire_bodies.hpp"

namespace leasepool::detail::remote {

class Offers {
 public:
  // A manager's instance, and the id of its want: also that of the lease that may come of it.
  struct Want {
    std::uint64_t manager = 0;
    std::uint64_t id = 0;
    auto operator<=>(const Want&) const = default;
  };
  struct Offer {
    Want want;
    std::uint64_t id = 0;
  };

  // How long a pool is held for who was offered it.
  static constexpr Duration kHeldFor = std::chrono::milliseconds(300);
  // Managers repeat what they want; nothing that was not is kept for longer, whatever they say.
  static constexpr Duration kMostLasting = std::chrono::seconds(15);
  // The most wants that are kept: what strangers send must not fill the memory.
  static constexpr std::size_t kMaxWants = 10'000;
  // Of these so many of one manager, which then has to wait for itself alone.
  static constexpr std::size_t kMaxOfOne = 1'000;

  // What is on offer for it already, if it is: that may have been lost, and is to be said again.
  std::optional<Offer> wanted(const Want& want, const WantBody& body, TimePoint now);
  void unwanted(const Want& want) noexcept;

  // The next offer that is to be made where so many pools are neither lent nor on offer.
  [[nodiscard]] std::optional<Offer> next_offer(std::size_t free, TimePoint now);

  // Whether the offer still stands. It is taken with that: once.
  [[nodiscard]] bool taken(const Offer& offer) noexcept;
  void declined(const Offer& offer) noexcept { (void)taken(offer); }

  // Nothing is offered any more, nor wanted: what was on offer is refused.
  void withdraw_all() noexcept;

  // Forgets what is over. Pools that were on offer are free again.
  void expire(TimePoint now) noexcept;
  [[nodiscard]] TimePoint next_expiry() const noexcept;

  [[nodiscard]] std::size_t on_offer() const noexcept { return offers_.size(); }
  [[nodiscard]] std::size_t wants() const noexcept { return wants_.size(); }

 private:
  struct Waiting {
    TimePoint since;  // it has waited
    TimePoint until;
  };
  struct Standing {
    Want want;
    TimePoint until;
  };

  void forget(std::map<Want, Waiting>::iterator want) noexcept;

  std::map<Want, Waiting> wants_;
  std::set<std::pair<TimePoint, Want>> by_age_;
  std::set<std::pair<TimePoint, Want>> by_end_;
  std::map<std::uint64_t, std::size_t> of_managers_;  // how many wants each has
  std::map<std::uint64_t, Standing> offers_;          // by id, and so by age
  std::uint64_t last_offer_ = 0;
};

}  // namespace leasepool::detail::remote
