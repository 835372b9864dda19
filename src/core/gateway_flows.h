// Flows that end at the gateway itself (nat.gateway_pbx): how they are seen, and which of them last.
//
// Anybody may send to the gateway, and a PBX answers, perhaps to another port than it was asked
// from, which makes a flow of its own; and anybody can answer that. So an answer alone is no reason
// to keep an entry for an hour. There are two:
//
//     media of a call hangs on the flow
//     on this very flow the gateway sent a REGISTER, and a 2xx to it came back
//
// All else gets no timeout from here, but what plain UDP has (30 s, and 180 s once answered).
//
// The tables forget, and a registration is not saved: then its flow lasts again with the next 2xx.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <variant>

#include "core/bounded_table.h"
#include "core/text_key.h"
#include "sipnat/core/engine.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// Signalling flows live as long as a registrar usually grants. The table's policy says the same of
/// forwarded ones, but a flow whose entry was made ahead has no policy: each packet needs the word
/// of its own.
inline constexpr std::chrono::seconds kFlowTimeout{3600};

/// A flow without NAT opens for both its ends, but the gateway's peer needs no way in: what comes
/// from it is expected at the gateway, and what goes to it is expected to leave there.
[[nodiscard]] NatView view_of(const Packet& packet);

class GatewayFlows {
  public:
    static constexpr std::size_t kMostFlows = 20000;     ///< with media; and as many registered
    static constexpr std::size_t kMostRegisters = 4096;  ///< that wait for their answer

    /// `flow`: the original tuple. Expectations hang on it, or did.
    void note_media(const Tuple& flow) { with_media_.put(flow); }
    /// `branch` is the top Via's: with the method it says which request an answer is to (RFC 3261
    /// 17.1.3).
    void note_message(const Packet& packet, const sip::Message& message, std::string_view branch);

    /// For the entry of the packet's flow; none: as it is, like a TCP connection's, which the kernel
    /// keeps for as long as it is up. Forwarded UDP flows always have one.
    [[nodiscard]] std::optional<std::chrono::seconds> timeout(const Packet& packet);

  private:
    using Register = TextKey<Tuple>;  // the flow, and the branch of the top Via

    // Apart, so that who makes many calls ends nobody's registration.
    BoundedTable<Tuple, std::monostate> with_media_{kMostFlows};
    BoundedTable<Tuple, std::monostate> registered_{kMostFlows};
    BoundedTable<Register, std::monostate, Register::Hash, Register::Stored> sent_{kMostRegisters};
};

}  // namespace sipnat
