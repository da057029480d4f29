// Submissions: what this process hands to the kernel through its rings, counted and, where a test asks for it, spoilt.
#pragma once

namespace leasepool::test {

enum class Cut { nothing, links, timeouts_are_refused, polls_are_refused };

struct Submissions {
  unsigned all = 0;
  unsigned link_timeouts = 0;
  Cut cut = Cut::nothing;
};
// Of the process: its tests run one after the other, and their loops on one thread.
Submissions& submissions();

// For the time of its life.
class Cutting {
 public:
  explicit Cutting(Cut cut) { submissions().cut = cut; }
  Cutting(const Cutting&) = delete;
  Cutting& operator=(const Cutting&) = delete;
  ~Cutting() { submissions().cut = Cut::nothing; }
};

}  // namespace leasepool::test
