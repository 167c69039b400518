"""The federation: the conversation (`rounds`), a member's work (`answer`), and the engines that carry the one to the
other.
"""
