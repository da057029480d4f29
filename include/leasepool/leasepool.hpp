// leasepool: run functions that block, burn CPU, hang or crash from an event loop. This header includes all others.
#pragma once

#include "leasepool/awaitable.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/function.hpp"
#include "leasepool/histogram.hpp"
#include "leasepool/init.hpp"
#include "leasepool/lease.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/options.hpp"
#include "leasepool/shared_buffer.hpp"
#include "leasepool/stats.hpp"
#include "leasepool/task.hpp"
