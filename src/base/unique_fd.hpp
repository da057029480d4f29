// UniqueFd: the public Fd, under the name by which our own code owns descriptors.
#pragma once

#include <unistd.h>

#include "leasepool/fd.hpp"

namespace leasepool::detail {

using UniqueFd = Fd;

}  // namespace leasepool::detail
