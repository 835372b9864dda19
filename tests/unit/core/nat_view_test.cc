#include "sipnat/core/nat_view.h"

#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

std::string show(const Party& party) {
    return party.real.text() + (party.translated() ? " shown " + party.shown.text() : "") +
           (party.inside ? " inside" : "");
}

struct Case {
    const char* what;
    FlowTuples flow;
    FlowDirection direction;
    std::string sender;
    std::string receiver;
};

Tuple udp(std::string_view source, std::string_view destination) {
    return {endpoint(source), endpoint(destination), Transport::udp};
}

TEST(NatView, TellsFromTheTuplesWhichEndpointBecomesWhich) {
    const FlowTuples source_nat{udp("10.0.0.2:5060", "9.9.9.9:5060"),
                                udp("9.9.9.9:5060", "8.8.8.8:1024")};
    const FlowTuples port_forward{udp("9.9.9.9:5070", "8.8.8.8:5060"),
                                  udp("10.0.0.5:5080", "9.9.9.9:5070")};
    const FlowTuples hairpin{udp("10.0.0.2:5060", "8.8.8.8:5060"),
                             udp("10.0.0.5:5060", "8.8.8.8:1024")};
    const FlowTuples plain{udp("10.0.0.2:5060", "9.9.9.9:5060"),
                           udp("9.9.9.9:5060", "10.0.0.2:5060")};
    for (const auto& [what, flow, direction, sender, receiver] : {
             Case{"source NAT, phone sends", source_nat, FlowDirection::original,
                  "10.0.0.2:5060 shown 8.8.8.8:1024 inside", "9.9.9.9:5060"},
             Case{"source NAT, server sends", source_nat, FlowDirection::reply, "9.9.9.9:5060",
                  "10.0.0.2:5060 shown 8.8.8.8:1024 inside"},
             Case{"port forward, peer sends", port_forward, FlowDirection::original, "9.9.9.9:5070",
                  "10.0.0.5:5080 shown 8.8.8.8:5060 inside"},
             Case{"port forward, PBX sends", port_forward, FlowDirection::reply,
                  "10.0.0.5:5080 shown 8.8.8.8:5060 inside", "9.9.9.9:5070"},
             Case{"hairpin", hairpin, FlowDirection::original,
                  "10.0.0.2:5060 shown 8.8.8.8:1024 inside",
                  "10.0.0.5:5060 shown 8.8.8.8:5060 inside"},
             Case{"hairpin, back", hairpin, FlowDirection::reply,
                  "10.0.0.5:5060 shown 8.8.8.8:5060 inside",
                  "10.0.0.2:5060 shown 8.8.8.8:1024 inside"},
             Case{"no NAT", plain, FlowDirection::original, "10.0.0.2:5060 inside",
                  "9.9.9.9:5060 inside"},
             Case{"no NAT, back", plain, FlowDirection::reply, "9.9.9.9:5060 inside",
                  "10.0.0.2:5060 inside"},
         }) {
        const auto view = NatView::of(flow, direction);
        EXPECT_EQ(show(view.sender), sender) << what;
        EXPECT_EQ(show(view.receiver), receiver) << what;
        EXPECT_EQ(view.transport, Transport::udp) << what;
    }
}

TEST(NatView, OfEndpointsGivesTheTuplesOfItsFlow) {
    const auto view =
        NatView::of(endpoint("10.0.0.2:5060"), endpoint("8.8.8.8:1024"), endpoint("9.9.9.9:5060"),
                    endpoint("9.9.9.9:5060"), Transport::udp);
    const auto flow = tuples_of(view);
    EXPECT_EQ(flow.original, udp("10.0.0.2:5060", "9.9.9.9:5060"));
    EXPECT_EQ(flow.reply, udp("9.9.9.9:5060", "8.8.8.8:1024"));
    const auto again = NatView::of(flow, FlowDirection::original);
    EXPECT_EQ(show(again.sender), show(view.sender));
    EXPECT_EQ(show(again.receiver), show(view.receiver));
}

}  // namespace
}  // namespace sipnat
