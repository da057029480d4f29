// Wants kept by age, and offers that stand for a while.
#include "remote/offers.hpp"

#include <algorithm>

#include "base/clock.hpp"

namespace leasepool::detail::remote {

std::optional<Offers::Offer> Offers::wanted(const Want& want, const WantBody& body, TimePoint now) {
  const auto known = wants_.find(want);
  const TimePoint until = deadline_after(now, std::min(body.lasts, kMostLasting));
  if (known != wants_.end()) {
    if (until <= known->second.until) return std::nullopt;
    auto end = by_end_.extract({known->second.until, want});
    end.value().first = known->second.until = until;
    by_end_.insert(std::move(end));
    return std::nullopt;
  }
  const auto standing = std::ranges::find_if(offers_, [&](const auto& offer) { return offer.second.want == want; });
  if (standing != offers_.end()) return Offer{.want = want, .id = standing->first};
  const auto of_one = of_managers_.find(want.manager);
  const bool has_its_share = of_one != of_managers_.end() && of_one->second >= kMaxOfOne;
  if (has_its_share || wants_.size() >= kMaxWants) return std::nullopt;
  const Waiting waiting{.since = now - std::min(body.age, now.time_since_epoch()), .until = until};
  const auto added = wants_.emplace(want, waiting).first;
  try {
    ++of_managers_[want.manager];
    by_age_.emplace(waiting.since, want);
    by_end_.emplace(waiting.until, want);
  } catch (...) {
    forget(added);
    throw;
  }
  return std::nullopt;
}

void Offers::forget(std::map<Want, Waiting>::iterator want) noexcept {
  by_age_.erase({want->second.since, want->first});
  by_end_.erase({want->second.until, want->first});
  const auto of_one = of_managers_.find(want->first.manager);
  if (of_one != of_managers_.end() && --of_one->second == 0) of_managers_.erase(of_one);
  wants_.erase(want);
}

void Offers::unwanted(const Want& want) noexcept {
  if (const auto known = wants_.find(want); known != wants_.end()) forget(known);
  std::erase_if(offers_, [&](const auto& offer) { return offer.second.want == want; });
}

// A want is kept no longer than until something is offered to it: the manager takes that, or says that it has another,
// or was not reached and says again what it wants.
std::optional<Offers::Offer> Offers::next_offer(std::size_t free, TimePoint now) {
  if (free == 0 || by_age_.empty()) return std::nullopt;
  const Want want = by_age_.begin()->second;
  offers_.emplace(++last_offer_, Standing{.want = want, .until = deadline_after(now, kHeldFor)});
  forget(wants_.find(want));
  return Offer{.want = want, .id = last_offer_};
}

bool Offers::taken(const Offer& offer) noexcept {
  const auto standing = offers_.find(offer.id);
  if (standing == offers_.end() || standing->second.want != offer.want) return false;
  offers_.erase(standing);
  return true;
}

void Offers::withdraw_all() noexcept {
  wants_.clear();
  by_age_.clear();
  by_end_.clear();
  of_managers_.clear();
  offers_.clear();
}

void Offers::expire(TimePoint now) noexcept {
  while (!offers_.empty() && offers_.begin()->second.until <= now) offers_.erase(offers_.begin());
  while (!by_end_.empty() && by_end_.begin()->first <= now) forget(wants_.find(by_end_.begin()->second));
}

TimePoint Offers::next_expiry() const noexcept {
  const TimePoint next = offers_.empty() ? kNever : offers_.begin()->second.until;
  return by_end_.empty() ? next : std::min(next, by_end_.begin()->first);
}

}  // namespace leasepool::detail::remote
