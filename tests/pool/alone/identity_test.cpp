// Programs that change whom they are after init(), most of all those that give up root: their workers follow.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "alone.hpp"
#include "leasepool/function.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "pool/held_calls.hpp"
#include "pool/processes.hpp"
#include "support/sanitized.hpp"
#include "support/temporary_directory.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace identity_cases {

// The lines of /proc/self/status that say whom a process acts for; and its root directory.
std::vector<std::string> identity() {
  std::vector<std::string> lines;
  std::ifstream status("self/status");  // in /proc: the way there may be closed to who it is by now
  for (std::string line; std::getline(status, line);) {
    for (const char* const start : {"Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:"}) {
      if (line.starts_with(start)) lines.push_back(line);
    }
  }
  lines.push_back(std::to_string(::prctl(PR_GET_DUMPABLE)));
  return lines;
}

bool sees(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace identity_cases

LEASEPOOL_REGISTER(identity_cases::identity);
LEASEPOOL_REGISTER(identity_cases::sees);

namespace {

bool is_root() { return ::geteuid() == 0 ? true : alone::skip("only root can change whom it is"); }

// Its workers have its working directory then.
void init_in_proc() {
  REQUIRE(::chdir("/proc") == 0);
  init();
}

void check_workers_follow() {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  const auto started = pool.start();
  CAPTURE(started ? "" : started.error().message());
  REQUIRE(started.has_value());
  const auto own = identity_cases::identity();
  CHECK(own.size() == 8);
  CHECK(pool.result_of(identity_cases::identity).value() == own);
}

void change_capabilities(auto change, std::size_t halves = 1) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  REQUIRE(::syscall(SYS_capget, &header, sets.data()) == 0);
  for (std::size_t half = 0; half < halves; ++half) change(sets[half]);
  REQUIRE(::syscall(SYS_capset, &header, sets.data()) == 0);
}

}  // namespace

ALONE_TEST_CASE("workers have the user and the groups that the program has when it connects", "[identity]") {
  if (test::kSanitized) return void(alone::skip("a leak checker may not trace who has changed its user"));
  if (!is_root()) return;
  init_in_proc();
  check_workers_follow();
  const std::array<gid_t, 3> groups{20'003, 20'001, 20'002};
  REQUIRE(::setgroups(groups.size(), groups.data()) == 0);
  check_workers_follow();
  REQUIRE(::setresgid(20'001, 20'002, 20'003) == 0);
  REQUIRE(::setresuid(20'001, 20'002, 0) == 0);  // for a while only
  check_workers_follow();
  REQUIRE(::seteuid(0) == 0);
  check_workers_follow();
  std::vector<gid_t> many(200);
  for (gid_t& group : many) group = 30'000 + static_cast<gid_t>(&group - many.data());
  REQUIRE(::setgroups(many.size(), many.data()) == 0);
  REQUIRE(::setresuid(20'001, 20'001, 20'001) == 0);
  check_workers_follow();
}

ALONE_TEST_CASE("workers have the capabilities that the program has left or kept", "[identity]") {
  if (!is_root()) return;
  init_in_proc();
  REQUIRE(::prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) == 0);
  check_workers_follow();
  change_capabilities([](auto& sets) { sets.effective &= ~(1U << CAP_SYS_TIME); });
  check_workers_follow();
  change_capabilities([](auto& sets) { sets.effective = sets.permitted &= ~(1U << CAP_SYS_NICE); });
  check_workers_follow();
  REQUIRE(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
  REQUIRE(::setresuid(20'001, 20'001, 20'001) == 0);
  change_capabilities([](auto& sets) { sets.effective = sets.permitted = 1U << CAP_NET_BIND_SERVICE; });
  check_workers_follow();
}

ALONE_TEST_CASE("workers have no capabilities where the program has none left", "[identity]") {
  if (!is_root()) return;
  init_in_proc();
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    REQUIRE(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0);
  }
  change_capabilities([](auto& sets) { sets = {}; }, 2);
  check_workers_follow();
}

ALONE_TEST_CASE("workers have the root directory that the program has", "[identity]") {
  if (!is_root()) return;
  init();
  const test::TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "inside").c_str(), 0755) == 0);
  const int outside = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(::chroot(directory.path().c_str()) == 0);
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, 1);
    const auto started = pool.start();
    CAPTURE(started ? "" : started.error().message());
    REQUIRE(started.has_value());
    CHECK(pool.result_of(identity_cases::sees, std::string("/inside")).value());
    CHECK_FALSE(pool.result_of(identity_cases::sees, std::string("/proc")).value());
    CHECK_FALSE(pool.result_of(identity_cases::sees, std::string("proc")).value());
  }
  REQUIRE(::fchdir(outside) == 0);
  REQUIRE(::chroot(".") == 0);
}

ALONE_TEST_CASE("workers that cannot become what the program is do not start and say why", "[identity][L4]") {
  if (!is_root()) return;
  change_capabilities([](auto& sets) { sets.effective &= ~(1U << CAP_SETUID); });
  init();  // the server goes without
  change_capabilities([](auto& sets) { sets.effective = sets.permitted; });
  REQUIRE(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
  REQUIRE(::setresuid(20'001, 20'001, 20'001) == 0);
  // It still reads the documents, wherever they are.
  change_capabilities([](auto& sets) { sets.effective = sets.permitted = 1U << CAP_DAC_OVERRIDE; });
  Loop loop;
  CHECK_THAT(alone::message_of_unsupported_start(loop), ContainsSubstring("user 20001") &&
                                                            ContainsSubstring("setresuid: ") &&
                                                            ContainsSubstring("call leasepool::init() after"));
}

// Workers of before are root's still.
ALONE_TEST_CASE("a program that has given up the right to kill its workers has the server kill them",
                "[identity][E6][L3]") {
  if (!is_root()) return;
  init();
  test::HeldCalls held(2, 2);
  TestPool& pool = held.pool;
  std::vector<test::ProcessHandle> workers;
  for (const alone::Relative& relative : alone::family()) {
    if (relative.name == "test-pool") workers.emplace_back(relative.pid);
  }
  REQUIRE(::setresuid(20'001, 20'001, 20'001) == 0);
  CHECK(pool.pool->interrupt(*held.calls[0]->job, {Errc::timed_out, "too long"}));
  CHECK(pool.wait([&] { return held.calls[0]->ended(); }));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);  // on its replacement
  CHECK(pool.wait([&] { return std::ranges::count_if(workers, &test::ProcessHandle::dead) == 1; }));
  bool closed = false;
  pool.pool->close([&] { closed = true; });
  pool.pool->kill();
  CHECK(pool.wait([&] { return closed; }));
  CHECK_FALSE(pool.logged("is not dead yet"));
  pool.pool.reset();
  CHECK(std::ranges::all_of(workers, &test::ProcessHandle::dead));
}
