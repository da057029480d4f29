// The supervisor of a run: a filter of system calls, inherited by all of its processes, asks it about each call that
// may have to fail.
#pragma once

#include <sys/types.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "fault.hpp"
#include "leasepool/fd.hpp"
#include "run.hpp"
#include "shared.hpp"

namespace faults {

// In the process that becomes the scenario: asks about these calls from now on, and waits until the supervisor is
// there. Ends the process where that is not possible.
void be_supervised(Shared& shared, const std::vector<long>& numbers);

class Supervisor {
 public:
  // `fault` is of a system call, or of none: then the calls are counted.
  Supervisor(Shared& shared, const Fault& fault, pid_t scenario);

  // Takes the filter's descriptor over; false: the process has ended before.
  [[nodiscard]] bool attach();
  [[nodiscard]] int descriptor() const noexcept { return listener_.get(); }
  // Answers one question.
  void answer();

  [[nodiscard]] const std::map<std::string, Calls, std::less<>>& calls() const noexcept { return calls_; }

 private:
  [[nodiscard]] Role role_of(pid_t thread) const;

  Shared& shared_;
  const Fault& fault_;
  const pid_t scenario_;
  leasepool::Fd listener_;
  std::map<std::string, Calls, std::less<>> calls_;
};

}  // namespace faults
