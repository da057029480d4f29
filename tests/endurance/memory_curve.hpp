// MemoryCurve: what a process uses in the course of a run, and whether that stays what it was at the beginning.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace leasepool::test {

struct MemoryUse {
  std::size_t resident = 0;   // bytes
  std::size_t allocated = 0;  // bytes that malloc() has handed out: resident without its holes and the program's code
  std::size_t mapped = 0;     // bytes
  std::size_t mappings = 0;
  std::size_t descriptors = 0;
};

// Of this process, as the kernel says.
MemoryUse memory_use();

// Resident bytes of another one; 0 when it is gone.
std::size_t resident_of(int process);

// Samples are taken where the program is at rest, at even distances.
class MemoryCurve {
 public:
  explicit MemoryCurve(std::string run) : run_(std::move(run)) {}

  // `done` of the run's whole is behind it.
  void add(double done);

  // A line for every fourth sample, and how far each value rose above the first tenth of the run.
  void print() const;

  // Empty if no later sample is above the highest one of the first tenth by more than a tenth of that, and by more than
  // the noise of a short run; else which one is, and by how much.
  [[nodiscard]] std::string growth() const;

 private:
  struct Sample {
    double done;
    MemoryUse use;
  };
  [[nodiscard]] std::size_t most_of_first_tenth(std::size_t MemoryUse::* value) const;

  const std::string run_;
  std::vector<Sample> samples_;
};

}  // namespace leasepool::test
