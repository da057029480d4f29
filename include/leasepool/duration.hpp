// The unit of every time span in the public interface, and how spans of other units become it.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <concepts>
#include <cstdint>
#include <ratio>
#include <stdexcept>
#include <type_traits>

// Spans and clocks alone, where the library has them apart: <chrono> is calendars, time zones and formatting, too.
#if __has_include(<bits/chrono.h>)
#include <bits/chrono.h>
#else
#include <chrono>
#endif

namespace leasepool {

/// Every duration of the library, in nanoseconds. Duration::max() means never.
using Duration = std::chrono::nanoseconds;

/// The clock of every deadline: CLOCK_MONOTONIC.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// A Duration as an option or a parameter: it is made of a span of any unit and number type, and is a Duration
/// otherwise. The conversion to std::chrono::nanoseconds overflows; this one saturates: std::chrono::hours::max(),
/// years(600) or infinity become Duration::max(), which means never, and less than -Duration::max() becomes that.
/// Fractions of a nanosecond are rounded away from zero. Throws std::invalid_argument for NaN.
class TimeSpan : public Duration {
 public:
  constexpr TimeSpan() noexcept : Duration(Duration::zero()) {}
  constexpr TimeSpan(Duration span) noexcept : Duration(span) {}  // NOLINT(google-explicit-constructor): as it says

  template <class Rep, class Period>
    requires std::is_arithmetic_v<Rep> || std::convertible_to<std::chrono::duration<Rep, Period>, Duration>
  constexpr TimeSpan(const std::chrono::duration<Rep, Period>& span)  // NOLINT(google-explicit-constructor): as it says
      : Duration(saturated(span)) {}

 private:
  static constexpr std::uint64_t kMax = Duration::max().count();

  template <class Rep, class Period>
  static constexpr Duration saturated(const std::chrono::duration<Rep, Period>& span) {
    if constexpr (!std::is_arithmetic_v<Rep>) {
      return span;
    } else {
      using Ratio = std::ratio_divide<Period, std::nano>;
      const Rep count = span.count();
      const bool negative = count < Rep{};
      std::uint64_t amount = 0;
      if constexpr (std::is_floating_point_v<Rep>) {
        if (!(negative || count >= Rep{})) throw std::invalid_argument("leasepool: a duration is not a number (NaN)");
        amount = rounded_up(static_cast<long double>(negative ? -count : count) * Ratio::num / Ratio::den);
      } else {
        const auto units = negative ? 0 - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
        amount = scaled(units, Ratio::num, Ratio::den);
      }
      return Duration(negative ? -static_cast<Duration::rep>(amount) : static_cast<Duration::rep>(amount));
    }
  }

  // At most kMax, as all of these.
  static constexpr std::uint64_t scaled(std::uint64_t units, std::uint64_t numerator, std::uint64_t denominator) {
    const std::uint64_t whole = units / denominator;
    if (whole > kMax / numerator) return kMax;
    const auto rest = static_cast<long double>(units % denominator);
    const std::uint64_t part =
        rounded_up(rest * static_cast<long double>(numerator) / static_cast<long double>(denominator));
    return part > kMax - whole * numerator ? kMax : whole * numerator + part;
  }
  static constexpr std::uint64_t rounded_up(long double amount) {
    if (amount >= static_cast<long double>(kMax)) return kMax;
    const auto whole = static_cast<std::uint64_t>(amount);
    return static_cast<long double>(whole) < amount ? whole + 1 : whole;
  }
};

}  // namespace leasepool

#endif
