// Judging calls by logs.
#include "cluster/verdict.hpp"

#include <cstdio>
#include <sstream>

#include "cluster/part_process.hpp"

namespace cluster {

void Verdict::wrong(const std::string& what) {
  constexpr std::size_t kMost = 20;
  if (++wrong_count_ <= kMost) wrongs_ += what + "\n";
}

void Verdict::add_node(const std::string& log) {
  std::istringstream lines(log);
  std::size_t at_once_exceeded = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string what;
    std::uint64_t number = 0;
    words >> what >> number;
    if (number == 0 && what == "run") {
      continue;  // of a caller without a log
    }
    if (what == "run") {
      ++calls_[number].runs;
    } else if (what == "crowded") {
      if (at_once_exceeded++ == 0) wrong("a node ran more calls at once than its pools have workers: " + line);
    } else if (what != "up" && what != "said") {
      wrong("a node wrote: " + line);
    }
  }
}

void Verdict::add_caller(const std::string& log) {
  const bool over = lines_with(log, "over") > 0;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string what;
    std::uint64_t number = 0;
    words >> what >> number;
    const bool answers = what == "ok" || what == "not_run" || what == "may_have_run";
    if (what == "call") {
      calls_[number].begun = true;
      calls_[number].must_be_answered = over;
    } else if (answers) {
      Call& call = calls_[number];
      ++call.answers;
      call.told = what == "ok" ? Told::ok : what == "not_run" ? Told::not_run : Told::may_have_run;
      call.line = line;
    } else if (what != "up" && what != "said" && what != "over") {
      wrong("a caller wrote: " + line);
    }
  }
}

void Verdict::judge(std::uint64_t number, const Call& call) {
  const std::string of = "call " + std::to_string(number) + " (" + call.line + ") ";
  if (!call.begun) wrong(of + "was never made");
  if (call.runs > 1) wrong(of + "ran " + std::to_string(call.runs) + " times");
  if (call.answers > 1) wrong(of + "was answered " + std::to_string(call.answers) + " times");
  if (call.answers == 0 && call.must_be_answered) wrong(of + "was never answered");
  switch (call.told) {
    case Told::nothing: ++unheard_; return;
    case Told::ok:
      ++ok_;
      if (call.runs == 0) wrong(of + "succeeded and has not run");
      return;
    case Told::not_run:
      ++not_run_;
      if (call.runs > 0) wrong(of + "ran");
      return;
    case Told::may_have_run: ++(call.runs > 0 ? ran_ : did_not_run_); return;
  }
}

std::string Verdict::wrongs() {
  for (const auto& [number, call] : calls_) judge(number, call);
  if (wrong_count_ > 0) wrongs_ += std::to_string(wrong_count_) + " in all\n";
  return wrongs_;
}

void Verdict::print() const {
  std::printf(
      "%zu calls: %zu succeeded, %zu were said not to have run, %zu to may have run (of which %zu ran), and of %zu no "
      "caller heard\n",
      calls_.size(), ok_, not_run_, ran_ + did_not_run_, ran_, unheard_);
  std::fflush(stdout);
}

}  // namespace cluster
