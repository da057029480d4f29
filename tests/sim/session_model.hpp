// What must hold of calls to nodes, whatever is lost, repeated, stopped or killed. The model knows what ran and what
// was said of it; it does not know how that came about.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace leasepool::test {

class SessionModel {
 public:
  enum class Said : std::uint8_t { nothing, value, not_run, may_have_run };

  static void require(bool holds, std::string_view what) {
    if (!holds) throw std::runtime_error("does not hold: " + std::string(what));
  }

  // Returns the call's id. Whoever makes it hears of it, unless its process is killed.
  std::uint64_t made() {
    calls_.emplace_back();
    return calls_.size() - 1;
  }
  void ran(std::uint64_t id) {
    Call& call = calls_.at(id);
    require(!call.ran, "a call runs once at most");
    require(call.said != Said::not_run, "what has certainly not run does not run later");
    call.ran = true;
  }
  void said(std::uint64_t id, Said what) {
    Call& call = calls_.at(id);
    require(call.said == Said::nothing && !call.abandoned, "a caller hears of each call once");
    require(what != Said::value || call.ran, "what has a value has run");
    require(what != Said::not_run || !call.ran, "what is said not to have run has not");
    call.said = what;
    ++counts_[static_cast<std::size_t>(what)];
  }
  // Its caller was killed.
  void abandoned(std::uint64_t id) { calls_.at(id).abandoned = true; }

  void check_all_heard() const {
    for (const Call& call : calls_) require(call.abandoned || call.said != Said::nothing, "every call ends");
  }

  [[nodiscard]] std::uint64_t count(Said what) const { return counts_[static_cast<std::size_t>(what)]; }

 private:
  struct Call {
    bool ran = false;
    bool abandoned = false;
    Said said = Said::nothing;
  };
  std::vector<Call> calls_;
  std::array<std::uint64_t, 4> counts_{};
};

}  // namespace leasepool::test
