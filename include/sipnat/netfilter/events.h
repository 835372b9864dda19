// What changes in the kernel without our doing: outside addresses, flows that end, the ruleset.
//
// Each source is a netlink socket of its own to poll. A message that the kernel could not queue for us
// is lost for good (ENOBUFS), so a reader that is told so looks at everything.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

class Events {
  public:
    enum class Source : std::uint8_t {
        addresses,    ///< of interfaces: added, removed (rtnetlink, RTM_NEWADDR and RTM_DELADDR)
        ended_flows,  ///< conntrack entries (ctnetlink, IPCTNL_MSG_CT_DELETE)
        ruleset,      ///< tables, chains and rules that were removed (nf_tables, NFT_MSG_DEL…)
    };

    /// What was read at once.
    struct News {
        bool any = false;                 ///< of the source's events
        bool lost = false;                ///< there were more than the socket could hold
        std::vector<FlowTuples> ended;    ///< of ended_flows, UDP's and TCP's
        std::vector<std::string> tables;  ///< of ruleset: whose; a name may come more than once
    };

    [[nodiscard]] static Result<Events> open(Source source);
    Events(Events&&) noexcept;
    Events& operator=(Events&&) noexcept;
    ~Events();

    [[nodiscard]] int fd() const;
    /// Never waits. Reads at most some thousand messages; fd() stays readable if there are more.
    [[nodiscard]] News read();

  private:
    struct Impl;
    explicit Events(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sipnat::netfilter
