# What scripts do: words counted, text replaced, numbers sorted.
use strict;
use warnings;

my ($state, $sum) = (2463534242, 0);

sub number {
    $state ^= $state << 13 & 0xffffffff;
    $state ^= $state >> 17;
    return $state ^= $state << 5 & 0xffffffff;
}

for (1 .. $ARGV[0]) {
    my %count;
    my $text = join ' ', map { 'word' . number() % 300 } 1 .. 3000;
    $count{$1}++ while $text =~ /(\w+)/g;
    my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    $text =~ s/word(\d)(\d)/$2$1/g;
    $sum = ($sum * 31 + length($text) + $count{$order[0]} + ord substr $order[-1], -1) % 1000003 for 1 .. 20;
}
print "$sum\n";
