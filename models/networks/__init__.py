"""Networks: everything that torch, Lightning and pytorch-forecasting do for the house; nothing else imports them."""
