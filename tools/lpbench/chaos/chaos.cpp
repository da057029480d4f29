// `lpbench chaos`: rounds, each with a loop, sides and nodes of its own, so that what one leaves behind shows.
#include "chaos.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "../../common/standard_streams.hpp"
#include "../interruption.hpp"
#include "../progress.hpp"
#include "../units.hpp"
#include "io_load.hpp"
#include "limits.hpp"
#include "log_file.hpp"
#include "nodes.hpp"
#include "side.hpp"

namespace lpbench::chaos {

namespace lp = leasepool;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

// How long the last calls of a round may take to be answered, proofs included, when the hand rests.
constexpr auto kPatience = 90s;

// Of what rounds left behind, so many are listed, beside what was wrong with calls.
constexpr std::size_t kLeftShown = 12;

class Scratch {
 public:
  Scratch() : path_((std::filesystem::temp_directory_path() / "lpbench-chaos-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Chaos {
 public:
  explicit Chaos(const ChaosOptions& options)
      : options_(options),
        progress_(options.progress ? 1s : 0s),
        account_(Ledger::of_process(scratch_.path() + "/ledger")),
        log_(scratch_.path() + "/log") {
    report_.seed = options.seed ? *options.seed : std::random_device{}();
    report_.seconds = options.seconds;
    random_.seed(report_.seed);
    if (const std::string why = why_processes_are_unlimited(); !why.empty()) skip("process slots exhausted", why);
    if (const auto all = descendants(); std::ranges::find(all, Role::fork_server, &Relative::role) == all.end()) {
      skip("workers and fork servers killed or stopped", "here processes cannot name themselves (PR_SET_MM_MAP)");
    }
    choose_places();
  }

  ChaosReport run() {
    const HeldSignals held;
    say_seed();
    report_.rounds = std::max<std::size_t>(2, static_cast<std::size_t>(options_.seconds / 10));
    begin_ = steady_clock::now();
    for (std::size_t round = 1; round <= report_.rounds; ++round) {
      play_round(begin_ +
                 to_duration(options_.seconds * static_cast<double>(round) / static_cast<double>(report_.rounds)));
      account_.close();
      compare(round);
    }
    finish();
    return std::move(report_);
  }

 private:
  // First, so that a run that comes to no end can be repeated.
  void say_seed() const {
    const std::string line = fmt::format("lpbench chaos: seed {}\n", report_.seed);
    if (options_.json) return tools::complain_text(line);
    tools::print_text(line);
    tools::flush_output();
  }

  void skip(std::string_view what, std::string_view why) {
    report_.skipped.push_back(fmt::format("{}: {}", what, why));
  }

  [[nodiscard]] bool wants(std::string_view backend) const {
    return options_.backends.empty() || std::ranges::find(options_.backends, backend) != options_.backends.end();
  }

  void choose_places() {
    if (wants("thread")) places_ = {Place::threads};
    if (wants("process")) places_.insert(places_.end(), {Place::processes, Place::sockets, Place::clean});
    if (!wants("remote")) return;
    server_ = Nodes::find_server();
    if (!server_.empty()) return places_.push_back(Place::nodes);
    const std::string why = "there is no nats-server in PATH: install nats-server";
    if (!options_.backends.empty()) throw std::runtime_error("--backend remote: " + why);
    skip("nodes", why);
  }

  void play_round(steady_clock::time_point end) {
    std::optional<Nodes> nodes;
    if (std::ranges::find(places_, Place::nodes) != places_.end()) nodes.emplace(server_, scratch_.path());
    lp::Loop loop;
    const Interruption interruption(loop);
    IoLoad io(loop, account_, random_());
    std::vector<std::unique_ptr<Side>> sides;
    Reach reach{.io = &io, .nodes = nodes ? &*nodes : nullptr, .log = &log_};
    for (const Place place : places_) {
      SideOptions side{.place = place, .ledger = scratch_.path() + "/ledger", .log = log_.sink(), .seed = random_()};
      if (place == Place::nodes) side.remote = nodes->remote_options();
      reach.sides.push_back(sides.emplace_back(std::make_unique<Side>(loop, account_, side)).get());
    }
    Hand hand(loop, account_, report_.deeds, reach, random_());
    loop.block_on(conduct(loop, end, reach, hand));
    for (const auto& side : sides) report_.leases_revoked += side->leases_revoked();
  }

  lp::Task<> conduct(lp::Loop& loop, steady_clock::time_point end, const Reach& reach, Hand& hand) {
    std::vector<lp::Task<>> parts;
    parts.push_back(end_at(loop, end, reach, hand));
    parts.push_back(reach.io->live());
    for (Side* const side : reach.sides) parts.push_back(side->live());
    auto played = play_all(std::move(parts));
    auto patience = loop.sleep(end - steady_clock::now() + kPatience);
    auto first = lp::when_any(std::move(played), std::move(patience));
    const auto ended = co_await first;
    if (ended.index() == 0) co_return;
    account_.wrong(fmt::format("{} calls were not answered, or a side has not ended, for {} s after the hand rested",
                               account_.open(), kPatience.count()));
  }

  static lp::Task<> play_all(std::vector<lp::Task<>> parts) {
    auto all = lp::when_all(std::move(parts));
    co_await all;
  }

  // The hand rests before the load ends: it is to be seen that everything works again.
  lp::Task<> end_at(lp::Loop& loop, steady_clock::time_point end, const Reach& reach, Hand& hand) {
    std::vector<lp::Task<>> both;
    both.push_back(hand.play());
    both.push_back([](Chaos& self, lp::Loop& on, steady_clock::time_point until, Hand& playing) -> lp::Task<> {
      while (steady_clock::now() < until) {
        self.show();
        auto pause = on.sleep(std::clamp<lp::Duration>(until - steady_clock::now(), 0ms, 100ms));
        co_await pause;
      }
      playing.end();
    }(*this, loop, end, hand));
    auto all = lp::when_all(std::move(both));
    co_await all;
    for (Side* const side : reach.sides) side->end();
    reach.io->end();
  }

  void show() {
    if (!progress_.due()) return;
    std::uint64_t deeds = 0;
    for (const auto& [name, times] : report_.deeds) deeds += times;
    progress_.show(fmt::format("chaos {:.0f} of {:.0f} s: {} calls, {} deeds, {} wrong",
                               seconds(steady_clock::now() - begin_), options_.seconds, grouped(account_.begun()),
                               grouped(deeds), account_.wrong_count()));
  }

  // What the first tenth of the rounds leaves is what a first use keeps for good.
  void compare(std::size_t round) {
    const bool is_warm_up = round <= std::max<std::size_t>(1, report_.rounds / 10);
    report_.after = is_warm_up ? resources_when_settled(at_first_.processes) : resources_at_rest(report_.before);
    if (is_warm_up) {
      report_.before = most_of(report_.before, report_.after);
      return;
    }
    for (const std::string& what : left_behind(report_.before, report_.after)) {
      ++report_.wrong_count;
      if (report_.wrongs.size() == kLeftShown) continue;
      report_.wrongs.push_back(fmt::format("round {} of {} left {}", round, report_.rounds, what));
    }
  }

  void finish() {
    progress_.clear();
    report_.calls = account_.begun();
    report_.counts = account_.counts();
    report_.log_lines = log_.written();
    report_.log_lines_refused = log_.refused();
    report_.wrong_count += account_.wrong_count();
    report_.wrongs.insert(report_.wrongs.end(), account_.wrongs().begin(), account_.wrongs().end());
  }

  const ChaosOptions& options_;
  ChaosReport report_;
  Progress progress_;
  Scratch scratch_;
  Account account_;
  LogFile log_;
  std::mt19937_64 random_;  // NOLINT(cert-msc51-cpp): seeded above
  std::vector<Place> places_;
  std::string server_;
  const Resources at_first_ = resources();
  steady_clock::time_point begin_;
};

}  // namespace

ChaosReport run_chaos(const ChaosOptions& options) { return Chaos(options).run(); }

}  // namespace lpbench::chaos
