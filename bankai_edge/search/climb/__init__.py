"""Climbing J flip by flip: sites, proposals, exact trials, and what promotes a state."""
