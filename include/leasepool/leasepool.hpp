// leasepool: run functions that block, burn CPU, hang or crash from an event loop. This header includes all others.
#pragma once

#include "leasepool/awaitable.hpp"
#include "leasepool/crash.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/function.hpp"
#include "leasepool/histogram.hpp"
#include "leasepool/init.hpp"
#include "leasepool/initializer.hpp"
#include "leasepool/lease.hpp"
#include "leasepool/log.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/options.hpp"
#include "leasepool/sandbox.hpp"
#include "leasepool/stats.hpp"
#include "leasepool/task.hpp"
