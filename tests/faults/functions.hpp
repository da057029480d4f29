// What the scenario calls.
#pragma once

#include <leasepool/leasepool.hpp>

#include <stop_token>
#include <string>
#include <vector>

namespace faults {

std::string upper(std::string text);
std::vector<int> echo(std::vector<int> numbers);
int byte_at(leasepool::SharedBuffer buffer, int place);
leasepool::Fd pass(leasepool::Fd file);
int fail(int number);
int crash(int number);
int nap(int milliseconds);
bool has_descriptor(int number);
bool can_read(std::string path);
// A thread's nap that its token ends.
int nap_until(std::stop_token token, int milliseconds);

}  // namespace faults
